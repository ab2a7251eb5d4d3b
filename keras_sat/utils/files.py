"""Files that appear whole or not at all."""

import contextlib
import shutil
import uuid
from pathlib import Path


@contextlib.contextmanager
def atomic(path):
    """Gives a temporary path beside `path`, for a file or a folder.

    At the end of the block it becomes `path`, after an error it is gone.
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
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
