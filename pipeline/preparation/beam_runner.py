"""Running a Beam job: its runner, its options and a progress bar."""

import argparse
import contextlib
import re
import signal
import threading

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

from keras_sat.utils.errors import UserError, explain, nearest
from keras_sat.utils.progress import progress_bar
from pipeline.preparation import artifacts, remote

# One worker per core, as threads of this process: while one worker reads, decodes and writes,
# another one keeps the CNN busy.
_DEFAULTS = ("--direct_num_workers=0",)
_DIED = re.compile(r"Worker subprocess exited with return code (-?\d+)")
_WHILE_RUNNING = re.compile(r" \[while running '[^']*'\]")  # Beam adds it to messages
# Not SIGINT, which a shell lets its background jobs ignore.
_WAKE = signal.SIGUSR1
_PERIOD = 2  # seconds between two updates of the progress bar


def beam_options(flags):
    """Beam's options from command-line flags, such as --runner=FlinkRunner.

    Raises:
        UserError: Beam does not know a flag. Beam itself would ignore it.
    """
    parser = _BeamArgumentParser(allow_abbrev=False, usage=argparse.SUPPRESS)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(flags)
    if unknown:
        known = []
        for action in parser._actions:
            known += action.option_strings
        flag = unknown[0].split("=")[0]
        raise UserError(f"unknown option {unknown[0]}{nearest(flag, known)}; --help lists ours")
    return PipelineOptions([*_DEFAULTS, *flags])


def run_job(build, options, description, folder=None, total=None):
    """Builds and runs one Beam pipeline and waits for its end.

    Args:
        build: called with the pipeline root.
        options: `PipelineOptions`. Without a --runner the job runs in this process (FnApiRunner).
        description: the progress bar's title.
        folder: where the job's chunks appear; the bar counts the images of the finished ones.
            Without a folder there is no bar.
        total: the number of images to expect, or None if it is not known yet.

    Raises:
        UserError: there is no such runner, or it cannot be reached; a worker raised it, without
            Beam's note on the step it ran in; a worker on another machine raised anything; or a
            worker process was killed.
    """
    pipeline = beam.Pipeline(runner=remote.runner_of(options), options=options)
    build(pipeline)
    with _ChunkProgress(description, folder, total), _worker_deaths():
        try:
            pipeline.run().wait_until_finish()
        except Exception as error:
            line = explain(error)
            if line is None and remote.is_elsewhere(options):
                line = remote.worker_line(error)
            if line is None:
                raise
            raise UserError(_WHILE_RUNNING.sub("", line)) from error


@contextlib.contextmanager
def _worker_deaths():
    """Within the block the death of a worker process is an error.

    Beam's local runner waits for a dead worker for ever. Its thread that started the worker fails,
    though, and a signal then ends the main thread's waiting. In another thread there is no such
    help, since signals reach the main thread alone.

    Raises:
        UserError: a worker process died.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    codes = []
    before = threading.excepthook

    def notice(failure):
        found = _DIED.search(str(failure.exc_value))
        if not found:
            before(failure)
        elif not codes:
            codes.append(int(found.group(1)))
            signal.pthread_kill(threading.main_thread().ident, _WAKE)

    def wake(number, frame):
        raise KeyboardInterrupt

    threading.excepthook = notice
    previous = signal.signal(_WAKE, wake)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if not codes:
            raise
        raise UserError(
            f"a worker process ended with exit code {codes[0]}; if the system killed it because "
            "memory ran out, run the job with fewer workers, --direct_num_workers=1, "
            "or lower --set chunk_images=N; the same command resumes it"
        ) from interrupt
    finally:
        threading.excepthook = before
        signal.signal(_WAKE, previous)


class _ChunkProgress:
    """A progress bar that counts the images of the finished chunks in a folder.

    Beam's local runners report their progress only at the end.
    """

    def __init__(self, description, folder, total):
        self._folder = folder
        self._bar = progress_bar(
            total=total, desc=description, unit=" images", disable=folder is None
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _count(self):
        if self._folder:
            chunks = artifacts.finished_chunks(self._folder)
            images = sum(sidecar["images"] for sidecar in chunks.values())
            self._bar.update(images - self._bar.n)

    def _watch(self):
        while not self._stop.wait(_PERIOD):
            self._count()

    def __enter__(self):
        self._count()
        self._bar.unpause()
        self._thread.start()

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._count()
        self._bar.close()
