"""Files that appear whole or not at all."""

import contextlib
import shutil
import uuid
from pathlib import Path


@contextlib.contextmanager
def atomic(path):
    """A context manager that gives a temporary path beside `path`, for a file or a folder.

    At the end of the block it is renamed to `path`; after an error it is deleted.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Writes a text file in UTF-8, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
