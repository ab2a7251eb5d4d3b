"""Object proposals: boxes in a picture that may hold an object, found with OpenCV.

Free of TensorFlow.
"""

import numpy as np

from keras_sat.pictures.boxes import read_boxes_file, strongest_first
from keras_sat.utils.errors import UserError
from keras_sat.utils.extras import opencv

# Standard deviation in pixels. It removes texture and leaves outlines; found on scenes, where 99 %
# of the objects then have a box of IoU > 0.5.
_BLUR = 2.0
_MIN_AREA = 0.01  # of the picture


def propose(pixels, method, most):
    """Boxes in a picture; if none are found, the whole picture.

    The same pixels give the same boxes.

    Args:
        pixels: uint8 [H, W, 3], RGB.
        method: `edgeboxes` (Zitnick & Dollár 2014) or `selective_search` (Uijlings et al. 2013, its
            fast mode).
        most: how many boxes to return at most.
    Returns:
        (boxes float32 [m, 4], scores float32 [m]), 1 ≤ m ≤ most, strongest first. A box is ymin,
        xmin, ymax, xmax, each a fraction of the picture, and has a positive area.
    Raises:
        UserError: OpenCV lacks the module.
    """
    methods = {"edgeboxes": _edge_boxes, "selective_search": _selective_search}
    rectangles, scores = methods[method](pixels, most)
    left, top, width, height = np.reshape(rectangles, [-1, 4]).astype(np.float32).T
    corners = np.stack([top, left, top + height, left + width], axis=-1)  # [n, 4]
    size = np.float32([*pixels.shape[:2], *pixels.shape[:2]])
    boxes = np.clip(corners / size, 0, 1)
    return strongest_first(boxes, np.ravel(scores).astype(np.float32), most)


def check(config):
    """Checks a `config.Proposals` before any work.

    Raises:
        UserError: settings that contradict each other, an unusable file, or OpenCV lacks a module.
    """
    if config.method == "none" and config.image_size:
        raise UserError(
            "proposals.image_size: is the size at which boxes are found, but "
            "proposals.method=none finds none; set both"
        )
    if (config.method == "file") != bool(config.file):
        raise UserError(
            "proposals.file: names the boxes of proposals.method=file; set both or neither"
        )
    if config.method in ("edgeboxes", "selective_search"):
        opencv()
    if config.file:
        read_boxes_file(config.file, config.most)


def _edge_boxes(pixels, most):
    """(rectangles [n, 4], scores [n]) by EdgeBoxes. A rectangle is x, y, width, height in pixels.

    The paper's edges come from structured forests, whose model would have to be downloaded. Here
    they are the gradient of the blurred picture, in the channel where it is strongest, thinned to
    its ridges.
    """
    cv2 = opencv()
    blurred = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), _BLUR)
    dx = cv2.Scharr(blurred, cv2.CV_32F, 1, 0)
    dy = cv2.Scharr(blurred, cv2.CV_32F, 0, 1)
    gradients = np.stack([dx, dy])  # [2, H, W, 3]
    strongest = np.argmax(np.sum(gradients**2, axis=0), axis=-1)[None, ..., None]
    dx, dy = np.take_along_axis(gradients, strongest, axis=-1)[..., 0]  # [H, W] each
    magnitude = np.hypot(dx, dy)
    magnitude /= max(magnitude.max(), 1e-6)
    orientation = np.mod(np.arctan2(dy, dx), np.float32(np.pi))
    edges = _thinned(cv2, magnitude, orientation)
    # A new finder for each picture, because it keeps some state of the previous one.
    finder = cv2.ximgproc.createEdgeBoxes(maxBoxes=most, minBoxArea=_MIN_AREA * magnitude.size)
    return finder.getBoundingBoxes(edges, orientation)


def _thinned(cv2, magnitude, orientation):
    """The gradient's magnitude [H, W] where it is a maximum along the gradient, else zero."""
    height, width = magnitude.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    dx = np.cos(orientation)
    dy = np.sin(orientation)
    ahead = cv2.remap(magnitude, x + dx, y + dy, cv2.INTER_LINEAR)
    behind = cv2.remap(magnitude, x - dx, y - dy, cv2.INTER_LINEAR)
    return np.where((magnitude >= ahead) & (magnitude >= behind), magnitude, 0)


def _selective_search(pixels, most):
    """(rectangles [n, 4], scores [n]) by selective search, as of `_edge_boxes`.

    OpenCV orders the boxes by the C library's random numbers, which differ between runs. The paper
    orders them by their level in the hierarchy times a random number. Here the level is the rank by
    area, and the random numbers are fixed.
    """
    search = opencv().ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(pixels[..., ::-1]))  # OpenCV's order of channels
    search.switchToSelectiveSearchFast()
    rectangles = np.unique(np.reshape(search.process(), [-1, 4]), axis=0)
    areas = rectangles[:, 2] * rectangles[:, 3]
    rectangles = rectangles[np.argsort(-areas, kind="stable")]
    levels = np.arange(1, 1 + len(rectangles))
    ranks = levels * np.random.default_rng(0).random(len(rectangles))
    return rectangles, 1 / (1 + ranks)
