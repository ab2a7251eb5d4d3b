"""Mistakes that a user can fix, and the one place where commands turn them into one clear line."""

import contextlib
import difflib
import functools
import re
import sys
from pathlib import Path

# As TensorFlow and as Python write a file beside the reason.
_PLACE = r"(?:(/[^\s;]+); )?"
_PLACE_AFTER = r"(?:: '([^']+)')?"
_OUT_OF_MEMORY = re.compile(
    r"ResourceExhaustedError|OOM when allocating|MemoryError|bad_alloc|Cannot allocate memory"
)


class UserError(Exception):
    """Bad input or environment. The message names the file or value and the way out."""


def nearest(word, known):
    """The end of a message about an unknown word: the most similar known word, or all of them."""
    match = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.4)
    return f"; did you mean {match[0]}?" if match else f"; known: {', '.join(known)}"


def printable(text):
    """The text with \\x1b, … in place of characters that a terminal would obey or cannot show."""
    shown = []
    for character in text:
        escape = character.encode("unicode_escape").decode()
        shown.append(character if character.isprintable() else escape)
    return "".join(shown)


def command(main):
    """Decorates a command's `main()`, so that a user's mistake ends it with one line.

    A `UserError`, a full disk or a folder that cannot be written ends it with exit code 2, Ctrl-C
    with exit code 130. Every other exception is a defect of the program and keeps its traceback.
    """

    @functools.wraps(main)
    def run(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except Exception as error:
            line = explain(error)
            if line is None:
                raise
            print(f"error: {line}", file=sys.stderr)
            sys.exit(2)

    return run


def _hidden_by(error):
    """The line about a foreign package that was imported in place of one of ours, or None."""
    name = (error.name or "").partition(".")[0]
    if name not in ("pipeline", "serving") or name not in sys.modules:
        return None
    found = sys.modules[name].__file__
    ours = Path(__file__).resolve().parents[2] / name
    return (
        f"{found}: another package named {name} hides that of keras_sat ({ours}); "
        "run the command keras-sat, or start it from another folder"
    )


def explain(error):
    """The one line for the user, or None if the exception is not for the user to fix.

    The text of the exception is searched, not only its type: Beam passes on a worker's exception as
    text, and TensorFlow has its own error classes for a full disk.
    """
    if isinstance(error, UserError):
        return printable(" ".join(str(error).split()))
    if isinstance(error, ModuleNotFoundError):
        return _hidden_by(error)
    text = f"{type(error).__name__}: {error}"
    raised_in_worker = re.search(r"UserError: (.*?)(?: \[while running|\n|$)", text)
    if raised_in_worker:
        return printable(raised_in_worker.group(1))
    disk_full = re.search(
        rf"{_PLACE}(?:No space left on device|File too large|Disk quota exceeded)", text
    )
    if disk_full:
        where = disk_full.group(1) or getattr(error, "filename", None) or "the disk"
        return (
            f"{where}: no space left; free some or choose another folder, "
            "then run the same command again"
        )
    refused = re.search(rf"{_PLACE}(Permission denied|Read-only file system){_PLACE_AFTER}", text)
    if refused:
        before, reason, after = refused.groups()
        where = before or after or getattr(error, "filename", None)
        if where:
            return f"{where}: {reason.lower()}; change its permissions, or choose another folder"
    return None


@contextlib.contextmanager
def memory_advice(advice):
    """Within the block running out of memory is a `UserError`.

    Args:
        advice: what to lower, for the message.

    Raises:
        UserError: TensorFlow, NumPy or the system had no more memory.
    """
    try:
        yield
    except Exception as error:
        if explain(error) is None and _OUT_OF_MEMORY.search(f"{type(error).__name__}: {error}"):
            raise UserError(f"out of memory; {advice}") from error
        raise
