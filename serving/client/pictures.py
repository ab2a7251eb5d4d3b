"""Reads encoded pictures from files, folders, URLs and standard input."""

import contextlib
import sys
import urllib.request
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
_TIMEOUT = 30  # seconds, for a URL


def list_pictures(names):
    """Yields the names, with each folder replaced by the pictures in it, sorted by name."""
    for name in names:
        path = Path(name)
        if _is_url(name) or not path.is_dir():
            yield name
            continue
        for file in sorted(path.iterdir()):
            if file.suffix.lower() in SUFFIXES:
                yield str(file)


def read_picture(name, max_bytes):
    """Reads a file, a URL, or, if the name is -, standard input.

    Args:
        name: a path, a URL, or -.
        max_bytes: the largest size to accept.

    Returns:
        The picture's bytes.

    Raises:
        ValueError: one line that names what cannot be read or is larger than `max_bytes`.
    """
    try:
        with _opened(name) as file:
            content = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # urllib's errors are OSErrors
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise ValueError(f"{name}: {reason}") from error
    if len(content) > max_bytes:
        raise ValueError(f"{name}: larger than {max_bytes >> 20} MB")
    return content


def _opened(name):
    if name == "-":
        return contextlib.nullcontext(sys.stdin.buffer)  # it stays open
    if _is_url(name):
        return urllib.request.urlopen(name, timeout=_TIMEOUT)
    return open(name, "rb")


def _is_url(name):
    return name.startswith(("http://", "https://"))
