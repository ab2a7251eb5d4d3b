"""Object proposals: boxes that may hold an object, in a picture (OpenCV) or from a file. Knows nothing of TensorFlow."""

import hashlib
import json
from pathlib import Path

import numpy as np

from keras_sat.utils.errors import UserError
from keras_sat.utils.extras import ximgproc

_BLUR = 2.0  # pixels; texture gives way to outlines (found on scenes: 99 % of the objects have a box of IoU > 0.5)
_LEAST_AREA = 0.01  # of the picture


def propose(pixels, method, most):
    """Boxes in a picture; where there are none, the whole picture.

    Args:
        pixels: uint8 [H, W, 3], RGB.
        method: `edgeboxes` (Zitnick & Dollár 2014) or `selective_search` (Uijlings et al. 2013, its fast mode).
        most: how many boxes at most.
    Returns:
        boxes float32 [m, 4] (ymin, xmin, ymax, xmax, each a fraction of the picture, all of positive area) and
        scores float32 [m], strongest first, 1 ≤ m ≤ most. The same pixels give the same boxes.
    Raises:
        UserError: OpenCV lacks the module.
    """
    rectangles, scores = {"edgeboxes": _edge_boxes, "selective_search": _selective_search}[method](
        pixels, most
    )
    left, top, width, height = np.reshape(rectangles, [-1, 4]).astype(np.float32).T
    size = np.float32([*pixels.shape[:2], *pixels.shape[:2]])
    boxes = np.clip(np.stack([top, left, top + height, left + width], axis=-1) / size, 0, 1)
    return _ordered(boxes, np.ravel(scores).astype(np.float32), most)


def check(config):
    """Checks a `config.Proposals` before any work.

    Raises:
        UserError: settings that do not go together, an unusable file, or OpenCV lacks a module.
    """
    if config.method == "none" and config.image_size:
        raise UserError(
            "proposals.image_size: is for finding boxes, of which proposals.method=none makes none; set both"
        )
    if (config.method == "file") != bool(config.file):
        raise UserError(
            "proposals.file: names the boxes of proposals.method=file; set both or neither"
        )
    if config.method in ("edgeboxes", "selective_search"):
        ximgproc()
    if config.file:
        read_boxes_file(config.file, config.most)


def pad_boxes(boxes, most):
    """Boxes [m, 4] with rows of zeros at the end: float32 [most, 4]."""
    return np.pad(boxes, [(0, most - len(boxes)), (0, 0)])


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
                found[name] = _ordered(boxes, scores, most)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    return found


def _unreadable(path, error):
    return UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")


def fingerprint(path):
    """SHA-256 of a file."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def cropped(boxes, scores, height, width):
    """A whole picture's boxes and scores as they lie in the encoder's centre crop (see `config.Encoder.resize`)."""
    return _ordered(in_crop(boxes, height, width), scores, len(boxes))


def in_crop(boxes, height, width):
    """A whole picture's boxes [m, 4] in the crop's own fractions, clipped to it: without area where they lie outside."""
    return np.clip((np.float32(boxes) - 0.5) / _seen(height, width) + 0.5, 0, 1).astype(np.float32)


def out_of_crop(boxes, height, width):
    """The inverse of `in_crop`, for boxes that lie in the crop."""
    return (boxes - 0.5) * _seen(height, width) + np.float32(0.5)


def _seen(height, width):
    """The crop's sides as shares of the picture's, twice."""
    return np.float32(min(height, width) * 224 / 256) / np.float32([height, width, height, width])


def _ordered(boxes, scores, most):
    good = np.all(boxes[:, 2:] > boxes[:, :2], axis=-1) & np.isfinite(scores)
    if not good.any():
        return np.float32([[0, 0, 1, 1]]), np.zeros([1], np.float32)
    order = np.argsort(-scores[good], kind="stable")[:most]
    return boxes[good][order], scores[good][order]


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


# ---- OpenCV


def _edge_boxes(pixels, most):
    """(x, y, width, height) in pixels, and scores.

    In place of the paper's structured forests, whose model would have to be downloaded: the gradient of the blurred
    picture, in the channel where it is strongest, thinned to its ridges.
    """
    import cv2

    blurred = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), _BLUR)
    gradients = np.stack(
        [cv2.Scharr(blurred, cv2.CV_32F, 1, 0), cv2.Scharr(blurred, cv2.CV_32F, 0, 1)]
    )  # [2, H, W, 3]
    strongest = np.argmax(np.sum(gradients**2, axis=0), axis=-1)[None, ..., None]
    dx, dy = np.take_along_axis(gradients, strongest, axis=-1)[..., 0]
    magnitude = np.hypot(dx, dy)
    magnitude /= max(magnitude.max(), 1e-6)
    orientation = np.mod(np.arctan2(dy, dx), np.float32(np.pi))
    x, y = np.meshgrid(
        np.arange(pixels.shape[1], dtype=np.float32), np.arange(pixels.shape[0], dtype=np.float32)
    )
    ahead, behind = (
        cv2.remap(
            magnitude, x + s * np.cos(orientation), y + s * np.sin(orientation), cv2.INTER_LINEAR
        )
        for s in (1, -1)
    )
    edges = np.where((magnitude >= ahead) & (magnitude >= behind), magnitude, 0)
    # Made anew for each picture, since it keeps something of the one before.
    finder = ximgproc().createEdgeBoxes(maxBoxes=most, minBoxArea=_LEAST_AREA * magnitude.size)
    return finder.getBoundingBoxes(edges, orientation)


def _selective_search(pixels, most):
    """(x, y, width, height) in pixels, and scores.

    OpenCV orders the boxes by the C library's random numbers, which differ between runs. The paper's order is that of the
    hierarchy's levels, each times a random number; here the level is the place by area, and the numbers are fixed.
    """
    search = ximgproc().segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(pixels[..., ::-1]))  # OpenCV's order of channels
    search.switchToSelectiveSearchFast()
    rectangles = np.unique(np.reshape(search.process(), [-1, 4]), axis=0)
    rectangles = rectangles[np.argsort(-rectangles[:, 2] * rectangles[:, 3], kind="stable")]
    place = np.arange(1, 1 + len(rectangles)) * np.random.default_rng(0).random(len(rectangles))
    return rectangles, 1 / (1 + place)
