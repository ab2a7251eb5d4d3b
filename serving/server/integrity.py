"""Holds a version's files against the hashes in its folder."""

import hashlib
from pathlib import Path

# In the format of sha256sum: a hash, two spaces and a file's name per line. Exports write it.
SUMS = "SHA256SUMS"
_BLOCK = 1 << 20  # bytes


def check_files(folder):
    """Checks every file that a version's SHA256SUMS lists. Without that file there is no check.

    Raises:
        OSError, ValueError: one line that names a file which is missing or has changed.
    """
    sums = Path(folder, SUMS)
    if not sums.exists():
        return
    for line in sums.read_text("utf-8").splitlines():
        expected, _, name = line.partition("  ")
        path = Path(folder, name)
        if _sha256(path) != expected:
            raise ValueError(f"{path}: has changed since it was exported, or is not copied yet")


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
