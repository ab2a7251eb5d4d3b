"""Attention as the script of a page paints it (`assets/attention.js`)."""

import base64
from importlib import resources

import numpy as np

from keras_sat.visualize.attention import BOXES
from keras_sat.visualize.heat import grid_of


def asset(name):
    """The text of a file that pages share: attention.js or attention.css."""
    return (resources.files("keras_sat.visualize") / "assets" / name).read_text(encoding="utf-8")


def page_attention(attention, boxes, notes):
    """What the script paints.

    Args:
        attention: [T, L].
        boxes: [L, 4] (ymin, xmin, ymax, xmax), as fractions of the picture's sides.
        notes: T texts, written over the picture while their word is shown.

    Returns:
        {"grid", "notes", "words"}. Where the regions form a grid, "grid" is (height, width) and
        a word has one byte per cell, its light, in base64. Otherwise "grid" is None and a word has
        the strongest boxes with their weights, [[ymin, xmin, ymax, xmax, weight], …].
    """
    grid = grid_of(boxes)
    if grid:
        strongest = attention.max(axis=-1, keepdims=True)
        light = attention / np.maximum(strongest, 1e-9)
        cells = np.round(255 * np.clip(light, 0, 1)).astype(np.uint8)
        words = [base64.b64encode(each.tobytes()).decode() for each in cells]
    else:
        words = [_strongest_boxes(boxes, weights) for weights in attention]
    return {"grid": grid, "notes": list(notes), "words": words}


def _strongest_boxes(boxes, weights):
    strongest = np.argsort(weights)[-BOXES:]
    rows = np.column_stack([boxes[strongest], weights[strongest]])
    return np.round(rows, 3).tolist()
