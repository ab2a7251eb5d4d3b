"""Object proposals: boxes that may hold an object, found in a picture with OpenCV. Knows nothing of TensorFlow."""

import numpy as np

from keras_sat.pictures.boxes import read_boxes_file, strongest_first
from keras_sat.utils.errors import UserError

INSTALL = "pip install --force-reinstall --no-deps opencv-contrib-python-headless==4.11.0.86"
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
    return strongest_first(boxes, np.ravel(scores).astype(np.float32), most)


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
        _ximgproc()
    if config.file:
        read_boxes_file(config.file, config.most)


def _ximgproc():
    """cv2.ximgproc. Without the contrib modules it is missing, or an empty shell."""
    try:
        from cv2 import ximgproc

        _ = ximgproc.createEdgeBoxes, ximgproc.segmentation
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"object proposals need OpenCV's contrib modules, which are not installed: {INSTALL}"
        ) from error
    return ximgproc


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
    finder = _ximgproc().createEdgeBoxes(maxBoxes=most, minBoxArea=_LEAST_AREA * magnitude.size)
    return finder.getBoundingBoxes(edges, orientation)


def _selective_search(pixels, most):
    """(x, y, width, height) in pixels, and scores.

    OpenCV orders the boxes by the C library's random numbers, which differ between runs. The paper's order is that of the
    hierarchy's levels, each times a random number; here the level is the place by area, and the numbers are fixed.
    """
    search = _ximgproc().segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(pixels[..., ::-1]))  # OpenCV's order of channels
    search.switchToSelectiveSearchFast()
    rectangles = np.unique(np.reshape(search.process(), [-1, 4]), axis=0)
    rectangles = rectangles[np.argsort(-rectangles[:, 2] * rectangles[:, 3], kind="stable")]
    place = np.arange(1, 1 + len(rectangles)) * np.random.default_rng(0).random(len(rectangles))
    return rectangles, 1 / (1 + place)
