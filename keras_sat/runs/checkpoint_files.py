"""The files of a folder of checkpoints, such as a run's checkpoints/last. Free of TensorFlow.

A checkpoint is ckpt-NUMBER.index with its ckpt-NUMBER.data-*, and TensorFlow's note `checkpoint`
names the newest one. The note alone is not relied on: it is a file that may be damaged as well.
"""

import re

from keras_sat.utils.files import write_text

_PART = re.compile(r"ckpt-(\d+)\.(?:index|data-\d+-of-\d+)")
_NOTED = re.compile(r'^model_checkpoint_path: "(?:.*/)?(ckpt-\d+)"$', re.MULTILINE)


def newest(folder):
    """The path of the checkpoint that is noted as the newest, None where a folder holds none.

    Without a legible note it is the one with the largest number.
    """
    noted = noted_in(folder)
    if noted and noted.with_name(f"{noted.name}.index").exists():
        return noted
    return next(iter(found_in(folder)), None)


def found_in(folder):
    """The paths of the checkpoints in a folder, newest first; they may lack a part."""
    numbers = set()
    for path in folder.glob("ckpt-*"):
        part = _PART.fullmatch(path.name)
        if part:
            numbers.add(int(part.group(1)))
    return [folder / f"ckpt-{number}" for number in sorted(numbers, reverse=True)]


def noted_in(folder):
    """The path of the checkpoint that the note `checkpoint` names, None if it names none."""
    note = folder / "checkpoint"
    text = note.read_text(encoding="utf-8", errors="replace") if note.is_file() else ""
    found = _NOTED.search(text)
    return folder / found.group(1) if found else None


def note(folder, paths):
    """Writes the note `checkpoint`, as TensorFlow reads it.

    Args:
        folder: of the checkpoints.
        paths: of those that are kept, newest first.
    """
    lines = [f'model_checkpoint_path: "{paths[0].name}"']
    for path in reversed(paths):
        lines.append(f'all_model_checkpoint_paths: "{path.name}"')
    write_text(folder / "checkpoint", "\n".join(lines) + "\n")


def number_of(path):
    """The number in a checkpoint's name."""
    return int(path.name.rpartition("-")[2])


def keep_only(folder, kept):
    """Deletes all other checkpoints of a folder, and what a killed process left half-written."""
    for path in folder.glob("ckpt-*"):
        if path.name.partition(".")[0] not in [each.name for each in kept]:
            _delete(path)


def put_aside(path, folder):
    """Moves all files of a checkpoint to another folder."""
    folder.mkdir(exist_ok=True)
    for part in path.parent.glob(f"{path.name}.*"):
        part.replace(folder / part.name)


def _delete(path):
    if path.is_dir():  # ckpt-NUMBER_temp
        for part in path.iterdir():
            part.unlink(missing_ok=True)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
