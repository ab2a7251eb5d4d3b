"""Object proposals for the command, from a file of JSON lines."""

import json
from pathlib import Path

import numpy as np


def read_boxes(path, names):
    """Reads the boxes of pictures.

    Args:
        path: a file with one line {"id": name, "boxes": [[ymin, xmin, ymax, xmax], …]} per image.
        names: the pictures' names, of which each must be in the file.

    Returns:
        {name: float32 [m, 4]} of all lines.

    Raises:
        ValueError: one line that names the file, and the first picture without boxes.
    """
    found = {}
    try:
        for line in Path(path).read_text("utf-8").splitlines():
            if line.strip():
                fields = json.loads(line)
                boxes = np.array(fields["boxes"], np.float32).reshape(-1, 4)
                if not ((boxes >= 0) & (boxes <= 1)).all():
                    raise ValueError("coordinates go from 0 to 1")
                found[fields["id"]] = boxes
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{path}: not one line per image with id and boxes: {error}") from error
    for name in names:
        if name not in found:
            raise ValueError(
                f"{path}: no boxes of {name}; ids must be as the images are named here"
            )
    return found
