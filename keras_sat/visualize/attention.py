"""Where the captioner looked: the picture once a word, lit or framed where the attention lies."""

import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

_COLUMNS = 6
BOXES = 20  # drawn at most, the strongest
_BOX_COLOUR = "#ff2fa0"


LABELS = {"gate": "β"}  # of what models tell of a word, see `explain_captions`


def attention_overlay(image, words, attention, boxes, facts=None):
    """A figure with the picture and one panel a word.

    Regions that tile the picture as a grid light it up, in the manner of Xu et al.'s figures; others are drawn as boxes
    whose line width is their attention (Pedersoli et al. 2017, figure 5).

    Args:
        image: uint8 [H, W, 3]. words: T strings. attention: [T, L], rows add up to 1.
        boxes: [L, 4] (ymin, xmin, ymax, xmax), as shares of the picture. facts: {name: T numbers} to write beside the words,
            such as the gate β on the context.
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
    grid = grid_of(boxes)
    for axis, word, weights, note in zip(
        axes[1:], words, attention, notes(facts or {}, len(words))
    ):
        axis.imshow(_lit(image, np.reshape(weights, grid)) if grid else image)
        if not grid:
            _draw_boxes(axis, boxes * np.tile(image.shape[:2], 2), weights)
        axis.set_title(word, fontsize=13)
        if note:
            style = {
                "color": "white",
                "bbox": {"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 2},
            }
            axis.text(0.97, 0.04, note, transform=axis.transAxes, ha="right", fontsize=9, **style)
    return figure


def notes(facts, words):
    """A text for each of so many words: the facts {name: [words]} with their labels."""
    return [
        "  ".join(f"{LABELS.get(name, name)} {values[word]:.2f}" for name, values in facts.items())
        for word in range(words)
    ]


def grid_of(boxes):
    """(h, w) of the grid that the boxes are, row by row, or None."""
    height, width = len(np.unique(boxes[:, 0])), len(np.unique(boxes[:, 1]))
    y, x = np.meshgrid(np.arange(height) / height, np.arange(width) / width, indexing="ij")
    tiles = np.stack([y, x, y + 1 / height, x + 1 / width], axis=-1).reshape(-1, 4)
    return (
        (height, width)
        if boxes.shape == tiles.shape and np.allclose(boxes, tiles, atol=1e-5)
        else None
    )


def _draw_boxes(axis, boxes, weights):
    for index in np.argsort(weights)[-BOXES:]:  # the strongest, on top of the others
        ymin, xmin, ymax, xmax = boxes[index]
        style = {"linewidth": 6 * weights[index], "edgecolor": _BOX_COLOUR, "facecolor": "none"}
        axis.add_patch(Rectangle((xmin, ymin), xmax - xmin, ymax - ymin, **style))


def _lit(image, weights):
    """The picture, darkened where the attention is weak."""
    height, width = image.shape[:2]
    smooth = Image.fromarray(weights.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    light = np.clip(np.asarray(smooth) / max(float(weights.max()), 1e-9), 0, 1)[..., None]
    return (image * (0.18 + 0.82 * light)).astype(np.uint8)


def to_png(figure, dpi=80):
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
