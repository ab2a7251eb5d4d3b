"""Packed runs: all that captioning needs of a run, in one file.

A packed run is a plain zip of the run's own files, of a card that describes it, and of a manifest
with the hash of each part. The zip's comment is the hash of everything before it. The file holds
data alone, no pickles and no code. It imports no TensorFlow.
"""

import hashlib
import json
import os
import re
import zipfile
from pathlib import Path

from keras_sat.utils.errors import UserError
from keras_sat.utils.files import atomic
from keras_sat.utils.hashing import sha256_file, sha256_rest

SUFFIX = ".ksat"
ENCODER = "encoder.keras"
_FORMAT = 1
_MANIFEST = "manifest.json"
_NEEDED = ("config.yaml", "run.json", "vocabulary.txt", ENCODER, "checkpoints/best/checkpoint")
# Whatever else a zip may hold is refused: names that lead out of the folder above all.
_PART = re.compile(
    r"(config\.yaml|run\.json|vocabulary\.txt|encoder\.keras|card\.json|metrics\.jsonl"
    r"|checkpoints/best/(checkpoint|ckpt-\d+\.(index|data-\d{5}-of-\d{5}))"
    r"|evaluation/\w+\.json)"
)
_CHANGING = "evaluation/"  # what a later evaluation may replace
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every part: equal runs make equal files
_DIGITS = 64  # of a hash
_BLOCK = 1 << 20


def write_packed(path, name, files, texts):
    """Writes a packed run, whole or not at all.

    Args:
        path: the file, a Path.
        name: of the run.
        files: {part: a file with its content}.
        texts: {part: its content}.
    """
    digests = {}
    with atomic(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for part, source in files.items():
                with open(source, "rb") as file, archive.open(_info(part), "w") as target:
                    digests[part] = _copy(file, target)
            for part, text in texts.items():
                digests[part] = hashlib.sha256(text.encode()).hexdigest()
                archive.writestr(_info(part), text)
            manifest = {"format": _FORMAT, "run": name, "parts": digests}
            archive.writestr(_info(_MANIFEST), json.dumps(manifest, indent=1))
            archive.comment = bytes(_DIGITS)
        with open(temporary, "r+b") as file:
            digest = sha256_rest(file, temporary.stat().st_size - _DIGITS)
            file.seek(-_DIGITS, os.SEEK_END)
            file.write(digest.encode())


def _info(part):
    return zipfile.ZipInfo(part, _EPOCH)


def unpacked(path):
    """The folder of a packed run, unpacked to the user's cache under the file's hash.

    Args:
        path: the file, a Path.

    Raises:
        UserError: it is no packed run, or a byte of it was changed; the message names the part.
    """
    try:
        with open(path, "rb") as file:
            digest = sha256_rest(file, max(0, path.stat().st_size - _DIGITS))
            stored = file.read(_DIGITS)
        with zipfile.ZipFile(path) as archive:
            digests = _digests(path, archive)
            if digest.encode() != stored:
                _refuse(path, archive, digests)
            folder = _cache() / digest[:16] / path.stem
            for part, expected in digests.items():
                _unpack(path, archive, part, expected, folder / part)
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: not a run, nor a packed run that is whole ({error})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be unpacked ({error}); set XDG_CACHE_HOME") from error
    return folder


def _cache():
    """The folder of all runs that were unpacked."""
    home = os.environ.get("XDG_CACHE_HOME")
    base = Path(home) if home else Path.home() / ".cache"
    return base / "keras_sat" / "packed"


def _digests(path, archive):
    """{part: its hash} of a manifest, whose names are those of a run's files."""
    try:
        manifest = json.loads(archive.read(_MANIFEST))
        found = manifest["format"]
        digests = dict(manifest["parts"])
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: its part {_MANIFEST} is missing or was changed; copy the file again"
        ) from error
    if found != _FORMAT:
        raise UserError(f"{path}: a packed run of format {found}; expected {_FORMAT}")
    names = archive.namelist()
    for part in (*digests, *names):
        if part != _MANIFEST and not _PART.fullmatch(part):
            raise UserError(f"{path}: its part {part!r} does not belong in a packed run")
    missing = [part for part in (*_NEEDED, *digests) if part not in digests or part not in names]
    if missing or len(names) != len(digests) + 1:
        raise UserError(f"{path}: its part {(missing or names)[0]} is missing or there twice")
    return digests


def _refuse(path, archive, digests):
    """Raises the error of a file with a changed byte; it names the part where that is."""
    for part, expected in digests.items():
        try:
            with archive.open(part) as file:
                changed = sha256_rest(file) != expected
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
            changed = True
        if changed:
            raise UserError(f"{path}: its part {part} was changed; copy the file again")
    raise UserError(f"{path}: its part {_MANIFEST} was changed; copy the file again")


def _unpack(path, archive, part, expected, target):
    """Writes a part to a file, unless it is there already."""
    if target.is_file() and (part.startswith(_CHANGING) or sha256_file(target) == expected):
        return
    with atomic(target) as temporary:
        with archive.open(part) as source, open(temporary, "wb") as file:
            found = _copy(source, file)
        if found != expected:
            raise UserError(f"{path}: its part {part} was changed; copy the file again")


def _copy(source, target):
    """Copies an open file to another; returns the content's hash."""
    digest = hashlib.sha256()
    while block := source.read(_BLOCK):
        digest.update(block)
        target.write(block)
    return digest.hexdigest()
