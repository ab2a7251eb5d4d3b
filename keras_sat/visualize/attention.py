"""Where the captioner looked: the picture once a word, lit where the attention lies."""

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

_COLUMNS = 6


def attention_overlay(image, words, attention, grid):
    """A figure with the picture and one panel a word, in the manner of Xu et al.'s figures.

    Args:
        image: uint8 [H, W, 3]. words: T strings. attention: [T, L], rows add up to 1. grid: (h, w), h · w = L.
    Returns:
        A matplotlib Figure.
    """
    panels = 1 + len(words)
    columns = min(panels, _COLUMNS)
    rows = -(-panels // columns)
    figure = Figure(figsize=(1.9 * columns, 2.15 * rows), layout="constrained")
    axes = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axis in axes:
        axis.axis("off")
    axes[0].imshow(image)
    for axis, word, weights in zip(axes[1:], words, attention):
        axis.imshow(_lit(image, np.reshape(weights, grid)))
        axis.set_title(word, fontsize=13)
    return figure


def _lit(image, weights):
    """The picture, darkened where the attention is weak."""
    height, width = image.shape[:2]
    smooth = Image.fromarray(weights.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    light = np.clip(np.asarray(smooth) / max(float(weights.max()), 1e-9), 0, 1)[..., None]
    return (image * (0.18 + 0.82 * light)).astype(np.uint8)


def to_png(figure, dpi=80):
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
