"""Boxes on a picture as NumPy arrays.

A box is ymin, xmin, ymax, xmax, each a fraction of the picture. Free of TensorFlow. The same for
batches of tensors is in `box_tensors`.
"""

import numpy as np

from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import sha256_file
from keras_sat.utils.json_files import loads

# The side of the encoder's centre crop as a share of the picture's shorter side: VGG's habit, 224
# of 256 pixels.
CROP_SHARE = 224 / 256


def pad_boxes(boxes, most):
    """Boxes [m, 4] followed by rows of zeros: float32 [most, 4]."""
    return np.pad(boxes, [(0, most - len(boxes)), (0, 0)])


def strongest_first(boxes, scores, most):
    """The boxes that have an area, sorted by score; if there are none, the whole picture.

    Args:
        boxes: float32 [n, 4].
        scores: float32 [n]. Boxes with scores that are not finite are left out.
        most: how many boxes to keep at most.
    Returns:
        (boxes float32 [m, 4], scores float32 [m]), 1 ≤ m ≤ most.
    """
    usable = np.all(boxes[:, 2:] > boxes[:, :2], axis=-1) & np.isfinite(scores)
    if not usable.any():
        return np.float32([[0, 0, 1, 1]]), np.zeros([1], np.float32)
    boxes = boxes[usable]
    scores = scores[usable]
    order = np.argsort(-scores, kind="stable")[:most]
    return boxes[order], scores[order]


# ---- the encoder's centre crop, see `config.Encoder.resize`


def cropped(boxes, scores, height, width):
    """A whole picture's boxes in fractions of the crop, as `strongest_first` returns them.

    Args:
        boxes: [n, 4].
        scores: float32 [n].
        height: of the whole picture.
        width: of the whole picture.
    """
    return strongest_first(in_crop(boxes, height, width), scores, len(boxes))


def in_crop(boxes, height, width):
    """A whole picture's boxes [n, 4] in fractions of the crop and clipped to it.

    A box that lies outside the crop has no area there.
    """
    moved = (np.float32(boxes) - 0.5) / _crop_shares(height, width) + 0.5
    return np.clip(moved, 0, 1).astype(np.float32)


def out_of_crop(boxes, height, width):
    """The inverse of `in_crop`, for boxes [n, 4] that lie in the crop."""
    return (boxes - 0.5) * _crop_shares(height, width) + np.float32(0.5)


def _crop_shares(height, width):
    """The crop's height and width as shares of the picture's, twice: float32 [4]."""
    side = np.float32(min(height, width) * CROP_SHARE)
    return side / np.float32([height, width, height, width])


# ---- files of boxes


def read_boxes_file(path, most):
    """Boxes that were computed elsewhere, from a JSON Lines file.

    It has one line per image: {"id": "…", "boxes": [[ymin, xmin, ymax, xmax], …], "scores": […]}.
    Coordinates are fractions of the whole picture. Without scores the boxes are taken to be sorted,
    strongest first.

    Args:
        path: the file.
        most: how many boxes to keep per image.
    Returns:
        {id: (boxes float32 [m, 4], scores float32 [m])}, as `strongest_first` returns them.
    Raises:
        UserError: naming file, line and id: a malformed line, a box that is outside the picture or
            has no area, or a second line with the same id.
    """
    found = {}
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                name, boxes, scores = _read_line(line, where)
                if name in found:
                    raise UserError(f"{where}: {name}: has boxes already; keep one line per image")
                found[name] = strongest_first(boxes, scores, most)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    return found


def _read_line(line, where):
    """(id, boxes float32 [n, 4], scores float32 [n]) of a line."""
    try:
        row = loads(line)
        if isinstance(row["id"], bool) or not isinstance(row["id"], str | int):
            raise TypeError("id")
        name = str(row["id"])
        count = len(row["boxes"])
        boxes = np.asarray(row["boxes"], np.float32).reshape(count, 4)
        falling = 1 / np.arange(1, 1 + count)
        scores = np.asarray(row.get("scores", falling), np.float32).reshape(count)
        if not np.isfinite(scores).all():
            raise ValueError("scores")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        expected = (
            '{"id": "…", "boxes": [[ymin, xmin, ymax, xmax], …]}, '
            'optionally with "scores", one per box'
        )
        raise UserError(f"{where}: expected {expected}; found {line.strip()[:80]!r}") from error
    for box in boxes.tolist():
        _check_box(box, f"{where}: {name}")
    return name, boxes, scores


def _check_box(box, where):
    # A coordinate that is NaN fails one of the two tests.
    if not (min(box) >= 0 and max(box) <= 1):
        raise UserError(
            f"{where}: box {box} is not inside the picture, whose coordinates go from 0 to 1"
        )
    top, left, bottom, right = box
    if not (top < bottom and left < right):
        raise UserError(f"{where}: box {box} has no area; the order is ymin, xmin, ymax, xmax")


def fingerprint(path):
    """SHA-256 of a file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return sha256_file(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path, error):
    return UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")
