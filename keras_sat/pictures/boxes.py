"""Boxes (ymin, xmin, ymax, xmax) on a picture as NumPy arrays. Knows nothing of TensorFlow."""

import hashlib
import json
from pathlib import Path

import numpy as np

from keras_sat.utils.errors import UserError

# The side of the encoder's centre crop as a share of the picture's shorter side (VGG's habit: 224 of 256 pixels).
CROP_SHARE = 224 / 256


def pad_boxes(boxes, most):
    """Boxes [m, 4] with rows of zeros at the end: float32 [most, 4]."""
    return np.pad(boxes, [(0, most - len(boxes)), (0, 0)])


def cropped(boxes, scores, height, width):
    """A whole picture's boxes and scores as they lie in the encoder's centre crop (see `config.Encoder.resize`)."""
    return strongest_first(in_crop(boxes, height, width), scores, len(boxes))


def in_crop(boxes, height, width):
    """A whole picture's boxes [m, 4] in the crop's own fractions, clipped to it: without area where they lie outside."""
    return np.clip((np.float32(boxes) - 0.5) / _seen(height, width) + 0.5, 0, 1).astype(np.float32)


def out_of_crop(boxes, height, width):
    """The inverse of `in_crop`, for boxes that lie in the crop."""
    return (boxes - 0.5) * _seen(height, width) + np.float32(0.5)


def _seen(height, width):
    """The crop's sides as shares of the picture's, twice."""
    return np.float32(min(height, width) * CROP_SHARE) / np.float32([height, width, height, width])


def strongest_first(boxes, scores, most):
    good = np.all(boxes[:, 2:] > boxes[:, :2], axis=-1) & np.isfinite(scores)
    if not good.any():
        return np.float32([[0, 0, 1, 1]]), np.zeros([1], np.float32)
    order = np.argsort(-scores[good], kind="stable")[:most]
    return boxes[good][order], scores[good][order]


def read_boxes_file(path, most):
    """Boxes computed elsewhere: a line an image, {"id": "…", "boxes": [[ymin, xmin, ymax, xmax], …], "scores": […]}.

    Coordinates are fractions of the whole picture. Without scores the boxes stand in the order of objectness.

    Args:
        most: how many to keep an image.
    Returns:
        {id: (boxes float32 [m, 4], scores float32 [m])}, each as `propose` returns it.
    Raises:
        UserError: naming file, line and id: malformed, a box outside the picture or without area, an id twice.
    """
    found = {}
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                name, boxes, scores = _read_line(line, f"{path}:{number}")
                if name in found:
                    raise UserError(
                        f"{path}:{number}: {name}: has boxes already; keep one line an image"
                    )
                found[name] = strongest_first(boxes, scores, most)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    return found


def _read_line(line, where):
    try:
        row = json.loads(line)
        name, rows = str(row["id"]), row["boxes"]
        boxes = np.asarray(rows, np.float32).reshape(len(rows), 4)
        scores = np.asarray(
            row.get("scores", 1 / np.arange(1, 1 + len(boxes))), np.float32
        ).reshape(len(boxes))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        expected = '{"id": "…", "boxes": [[ymin, xmin, ymax, xmax], …]}, if you like with "scores", one a box'
        raise UserError(f"{where}: expected {expected}; found {line.strip()[:80]!r}") from error
    for box in boxes.tolist():
        if not (min(box) >= 0 and max(box) <= 1):
            raise UserError(
                f"{where}: {name}: box {box} is not inside the picture, whose coordinates go from 0 to 1"
            )
        if not (box[0] < box[2] and box[1] < box[3]):
            raise UserError(
                f"{where}: {name}: box {box} has no area; the order is ymin, xmin, ymax, xmax"
            )
    return name, boxes, scores


def fingerprint(path):
    """SHA-256 of a file."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path, error):
    return UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")
