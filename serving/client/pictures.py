"""Reads encoded pictures from files, folders, URLs and standard input."""

import contextlib
import queue
import sys
import threading
import urllib.request
from http.client import HTTPException
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
_URL_SECONDS = 30  # for a URL in all


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


def read_picture(name, max_bytes, url_seconds=_URL_SECONDS):
    """Reads a file, a URL, or, if the name is -, standard input.

    Args:
        name: a path, a URL, or -.
        max_bytes: the largest size to accept.
        url_seconds: how long a URL may take in all.

    Returns:
        The picture's bytes.

    Raises:
        ValueError: one line that names what cannot be read or is larger than `max_bytes`.
    """
    try:
        if _is_url(name):
            content = _download(name, max_bytes + 1, url_seconds)
        else:
            with _opened(name) as file:
                content = file.read(max_bytes + 1)
    except (OSError, ValueError, HTTPException) as error:  # most of urllib's are OSErrors
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise ValueError(f"{name}: {reason}") from error
    if len(content) > max_bytes:
        raise ValueError(f"{name}: larger than {max_bytes >> 20} MB")
    return content


def _opened(name):
    if name == "-":
        return contextlib.nullcontext(sys.stdin.buffer)  # it stays open
    return open(name, "rb")


def _download(url, most, seconds):
    """The first bytes of what a URL gives.

    urllib's timeout is one per read, so that a server may send a byte now and then for ever. So a
    thread reads, and is left behind when its time is over.
    """
    results = queue.Queue()

    def read():
        try:
            with urllib.request.urlopen(url, timeout=seconds) as response:
                results.put(response.read(most))
        except Exception as error:  # raised by the caller
            results.put(error)

    threading.Thread(target=read, daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"took longer than {seconds:g} seconds") from None
    if isinstance(result, Exception):
        raise result
    return result


def _is_url(name):
    return name.startswith(("http://", "https://"))
