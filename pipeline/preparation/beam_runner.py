"""Running a Beam job: which runner, a live line, and options passed straight through."""

import argparse
import threading

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    PipelineOptions,
    StandardOptions,
    _BeamArgumentParser,
)

from keras_sat.utils.errors import UserError, nearest
from keras_sat.utils.progress import progress_bar
from pipeline.preparation import artifacts

# A worker a core, as threads of this process: while one reads, decodes and writes, another gives the CNN its pictures.
_DEFAULTS = ("--direct_num_workers=0",)


def beam_options(flags):
    """Beam's options from command-line flags, such as --runner=FlinkRunner or --direct_num_workers=2.

    Raises:
        UserError: a flag that Beam does not know (Beam itself would pass over it).
    """
    parser = _BeamArgumentParser(allow_abbrev=False, usage=argparse.SUPPRESS)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(flags)
    if unknown:
        known = [flag for action in parser._actions for flag in action.option_strings]
        raise UserError(
            f"unknown option {unknown[0]}{nearest(unknown[0].split('=')[0], known)}; --help lists ours"
        )
    return PipelineOptions([*_DEFAULTS, *flags])


def run(build, options, description, folder=None, total=None):
    """Builds and runs one Beam pipeline and waits for its end.

    Args:
        build: called with the pipeline root.
        options: `PipelineOptions`. Without a --runner the job runs here, in this process (FnApiRunner).
        description: what the live line says.
        folder: where the job's chunks appear; the live line counts the images of the finished ones.
        total: images to expect, or None where that is not known yet.
    """
    runner = options.view_as(StandardOptions).runner
    if not runner:
        # By name: DirectRunner may hand the job to Prism, which downloads a binary.
        from apache_beam.runners.portability.fn_api_runner import FnApiRunner

        runner = FnApiRunner()
    pipeline = beam.Pipeline(runner=runner, options=options)
    build(pipeline)
    with _LiveLine(description, folder, total):
        pipeline.run().wait_until_finish()


class _LiveLine:
    """A progress bar fed by the chunks that appear in a folder: local runners report only at the end."""

    def __init__(self, description, folder, total):
        self._folder = folder
        self._bar = progress_bar(
            total=total, desc=description, unit=" images", disable=folder is None
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _count(self):
        if self._folder:
            self._bar.update(
                sum(s["images"] for s in artifacts.finished_chunks(self._folder).values())
                - self._bar.n
            )

    def _watch(self):
        while not self._stop.wait(2):
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
