"""Attention over a picture as maps of numbers, and the colours that show them."""

import numpy as np
from matplotlib import colormaps

# Perceptually uniform: equal steps of attention look like equal steps.
_COLOURS = colormaps["plasma"]
_LEAST_TOP = 4.0
_OPACITY = 0.85  # of the strongest attention; none leaves the picture as it is


def attention_maps(attention, boxes, size):
    """Where in the picture the attention lies.

    Args:
        attention: [T, L].
        boxes: [L, 4] (ymin, xmin, ymax, xmax), as fractions of the picture's sides.
        size: (H, W) in pixels.
    Returns:
        float32 [T, H, W]. Each map adds up to its word's attention, which is 1. A region's share is
        spread evenly over its box or, if the boxes tile the picture as a grid, falls linearly to
        the centres of its neighbours. A box without area has no share.
    """
    height, width = size
    cells = grid_of(boxes)
    smooth = cells is not None and height >= cells[0] and width >= cells[1]
    rows = _weights(boxes[:, 0], boxes[:, 2], height, smooth)  # [L, H]
    columns = _weights(boxes[:, 1], boxes[:, 3], width, smooth)  # [L, W]
    maps = [rows.T @ (weights[:, None] * columns) for weights in attention]
    return np.reshape(maps, [-1, height, width]).astype(np.float32)


def _weights(starts, ends, pixels, smooth):
    """How intervals [L] of the unit line are spread over pixels: [L, pixels], rows add up to 1."""
    if smooth:
        centres = (np.arange(pixels) + 0.5) / pixels
        lengths = np.maximum(ends - starts, 1e-9)[:, None]
        middles = (starts + ends)[:, None] / 2
        # Beyond the outermost centres the map stays as it is there.
        nearest = np.clip(centres, middles.min(), middles.max())
        spread = np.maximum(0, 1 - np.abs(nearest - middles) / lengths)
    else:
        edges = np.arange(pixels + 1) / pixels
        from_ = np.maximum(edges[:-1], starts[:, None])
        to = np.minimum(edges[1:], ends[:, None])
        spread = np.maximum(0, to - from_)
    return spread / np.maximum(spread.sum(axis=1, keepdims=True), 1e-12)


def grid_of(boxes):
    """(height, width) of the grid that the boxes form, row by row; None if they form none."""
    height = len(np.unique(boxes[:, 0]))
    width = len(np.unique(boxes[:, 1]))
    y, x = np.meshgrid(np.arange(height) / height, np.arange(width) / width, indexing="ij")
    cells = np.stack([y, x, y + 1 / height, x + 1 / width], axis=-1).reshape(-1, 4)
    if boxes.shape == cells.shape and np.allclose(boxes, cells, atol=1e-5):
        return height, width
    return None


def dimmed(attention, facts):
    """Attention [T, L] as far as it reaches the words.

    The gate β scales the context vector (Xu et al. 2015, section 4.2.1): where it is near 0, the
    word was written without looking, wherever the attention lay.

    Args:
        attention: [T, L].
        facts: {name: T numbers}, see `keras_sat.decoding.captioned.explain_captions`.
    """
    if "gate" not in facts:
        return attention
    return attention * np.asarray(facts["gate"])[:, None]


def relative(maps):
    """`attention_maps` [T, H, W] in units of attention that is spread evenly over the picture."""
    return maps * (maps.shape[1] * maps.shape[2])


def top_of_scale(maps):
    """The value of the strongest colour, for `relative` maps of all words together.

    It is their maximum, but no less than four times uniform attention: attention that tells nothing
    of a place, such as that of a model without attention, stays pale.
    """
    return max(float(maps.max(initial=0)), _LEAST_TOP)


def coloured(values, most):
    """Colours to lay over the picture.

    Args:
        values: [...], 0 or more.
        most: the value of the strongest colour.
    Returns:
        uint8 [..., 4], RGBA. The weaker the attention, the more of the picture shows through.
    """
    shares = np.clip(values / max(float(most), 1e-9), 0, 1)
    colours = np.array(_COLOURS(shares))  # a tuple for a single value
    colours[..., 3] = _OPACITY * shares
    return np.round(255 * colours).astype(np.uint8)
