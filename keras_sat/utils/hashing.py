"""SHA-256 of files and texts, and the file SHA256SUMS.

`sha256sum -c SHA256SUMS` reads it, too.
"""

import hashlib
import math
import re
from pathlib import Path

from keras_sat.utils.errors import UserError
from keras_sat.utils.files import write_text

SUMS = "SHA256SUMS"
_BLOCK = 1 << 20  # bytes that are read at once
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def sha256_file(path, stopped=None):
    """SHA-256 of a file, 64 hexadecimal digits.

    Args:
        path: the file's.
        stopped: a function; when it returns True, the result is that of the part read so far.
    """
    with open(path, "rb") as file:
        return sha256_rest(file, stopped=stopped)


def sha256_rest(file, count=None, stopped=None):
    """SHA-256 of an open file from where it stands.

    Args:
        file: opened to read bytes.
        count: how many bytes to read; None for all.
        stopped: see `sha256_file`.
    """
    digest = hashlib.sha256()
    left = math.inf if count is None else count
    while block := file.read(int(min(left, _BLOCK))):
        digest.update(block)
        left -= len(block)
        if stopped and stopped():
            break
    return digest.hexdigest()


def fingerprint(text):
    """The first 16 hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_sums(folder, known=None):
    """Writes SHA256SUMS for all files that a folder holds.

    Args:
        folder: a Path.
        known: {name: SHA-256} of files that have been hashed already, such as large ones.
    """
    known = known or {}
    lines = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != SUMS:
            lines.append(f"{known.get(name) or sha256_file(path)}  {name}\n")
    write_text(folder / SUMS, "".join(lines))


def read_sums(folder):
    """{name: SHA-256} of a folder's SHA256SUMS; empty if an earlier version wrote the folder.

    Raises:
        UserError: it cannot be read.
    """
    path = Path(folder) / SUMS
    if not path.exists():
        return {}
    sums = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        name = found.group(2) if found else ""
        if not found or name.startswith("/") or ".." in name.split("/"):
            raise UserError(f"{path}:{number}: expected a SHA-256, two spaces and a file name")
        sums[name] = found.group(1)
    return sums


def check_sum(folder, name, way_out):
    """Holds a file of a folder against the folder's SHA256SUMS, if it is listed there.

    Raises:
        UserError: the file has changed; the message ends with the way out.
    """
    fault = damage(folder, name, read_sums(folder).get(name))
    if fault:
        raise UserError(f"{fault}; {way_out}")


def damage(folder, name, expected, stopped=None):
    """What is wrong with a file of a folder: one line, or None.

    Args:
        folder: a Path.
        name: the file's, relative to the folder.
        expected: its SHA-256, or None if none was recorded.
        stopped: see `sha256_file`.
    """
    path = Path(folder) / name
    try:
        found = sha256_file(path, stopped) if expected else None
    except FileNotFoundError:
        return f"{path}: the file is missing"
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror})"
    if found != expected:
        return f"{path}: has changed since it was written (SHA-256 {found}, recorded {expected})"
    return None
