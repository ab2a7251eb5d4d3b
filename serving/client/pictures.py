"""Encoded pictures from where a user has them."""

import sys
import urllib.request
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
_TIMEOUT = 30  # seconds, for a URL


def list_pictures(names):
    """The names with each folder replaced by the pictures in it, by name."""
    for name in names:
        path = Path(name)
        if not _is_url(name) and path.is_dir():
            yield from (
                str(each) for each in sorted(path.iterdir()) if each.suffix.lower() in SUFFIXES
            )
        else:
            yield name


def read_picture(name, most_bytes):
    """The bytes of a file, a URL, or, for -, of standard input.

    Raises:
        ValueError: one line, naming what cannot be read or is larger than `most_bytes`.
    """
    try:
        if name == "-":
            content = sys.stdin.buffer.read(most_bytes + 1)
        elif _is_url(name):
            with urllib.request.urlopen(name, timeout=_TIMEOUT) as response:
                content = response.read(most_bytes + 1)
        else:
            with open(name, "rb") as file:
                content = file.read(most_bytes + 1)
    except (OSError, ValueError) as error:  # urllib's errors are OSErrors
        raise ValueError(
            f"{name}: {getattr(error, 'strerror', None) or getattr(error, 'reason', None) or error}"
        ) from error
    if len(content) > most_bytes:
        raise ValueError(f"{name}: larger than {most_bytes >> 20} MB")
    return content


def _is_url(name):
    return name.startswith(("http://", "https://"))
