"""METEOR's Java process: started once, since it loads for seconds, and used until Python ends.

It is ended when it is silent for too long, and started again by the next evaluation.
"""

import atexit
import contextlib
import os
import subprocess
import tempfile
import threading
from importlib import resources

from keras_sat.evaluation.java import java_command

_lock = threading.Lock()  # of the process, whose answers come in the order of the questions
_running = None


class Failure(Exception):
    """The process failed or was ended. The message says why."""


def measure(references, captions, patience, bar):
    """Scores captions.

    Args:
        references: {image: [caption, …]}, tokenised.
        captions: {image: [caption]}, tokenised.
        patience: seconds for which the process may be silent; its start counts.
        bar: a progress bar, updated with each segment.

    Returns:
        (the score of the corpus, a list of each segment's statistics as the program prints them).

    Raises:
        Failure: the process failed or was ended.
        UserError: there is no Java.
    """
    with _lock:
        process = _started()
        try:
            return process.measure(references, captions, patience, bar)
        except (ValueError, OSError) as error:  # half an answer, or a broken pipe
            raise Failure(process.end()) from error
        except BaseException:  # an unread answer would be taken for the next question's
            process.end()
            raise


def _started():
    global _running
    if _running is None or not _running.is_alive:
        _running = _Process()
    return _running


@atexit.register
def _end():
    if _running is not None and _running.is_alive:
        _running.end()


def _forget():
    """A forked Python must not talk to its parent's process."""
    global _lock, _running
    _lock = threading.Lock()
    _running = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class _Process:
    def __init__(self):
        # The program looks for its paraphrases where its own path, which it encodes twice, is.
        # It does not find them if the path holds a space, so it is told where they are.
        folder = resources.files("pycocoevalcap") / "meteor"
        paraphrases = folder / "data" / "paraphrase-en.gz"
        program = java_command("-Xmx2G", "-jar", folder / "meteor-1.5.jar", "-", "-", "-stdio")
        # A pipe that nobody reads could fill up.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._java = subprocess.Popen(
            [*program, "-l", "en", "-norm", "-a", str(paraphrases)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        assert self._java.stdin and self._java.stdout
        self._questions = self._java.stdin
        self._answers = self._java.stdout
        self._silent_for = None

    @property
    def is_alive(self):
        return self._java.poll() is None

    def measure(self, references, captions, patience, bar):
        """See the module's `measure`; the exchange is that of `pycocoevalcap.meteor.meteor`."""
        segments = []
        for image, [caption] in captions.items():
            caption = caption.replace("|||", "").replace("  ", " ")
            self._ask("SCORE", *references[image], caption)
            segment = self._answer(patience)
            if not segments:
                bar.reset()  # the time until the first answer is Java's start
            segments.append(segment)
            bar.update(1)
        self._ask("EVAL", *segments)
        for _ in segments:
            float(self._answer(patience))  # the segment's own score; anything else is a fault
        value = float(self._answer(patience))
        return value, [segment.split() for segment in segments]

    def _ask(self, *parts):
        self._questions.write(f"{' ||| '.join(parts)}\n".encode())
        self._questions.flush()

    def _answer(self, patience):
        timer = threading.Timer(patience, self._give_up, [patience])
        timer.daemon = True
        timer.start()
        try:
            return self._answers.readline().decode().strip()
        finally:
            timer.cancel()

    def _give_up(self, patience):
        self._silent_for = patience
        self._java.kill()

    def end(self):
        """Ends the process; returns why it may have failed."""
        self._java.kill()
        self._java.wait()
        for pipe in (self._questions, self._answers):
            with contextlib.suppress(OSError):
                pipe.close()
        self._errors.seek(0)
        errors = self._errors.read().decode(errors="replace")
        self._errors.close()
        if self._silent_for is not None:
            return f"no answer for {self._silent_for} seconds"
        first_line = errors.strip().partition("\n")[0]
        return first_line or "without a word"
