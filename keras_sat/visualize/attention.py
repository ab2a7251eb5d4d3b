"""What the captioner attends to: the picture once per word, with the attention drawn over it."""

import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from keras_sat.utils.files import atomic

BOXES = 20  # drawn at most, the strongest
LABELS = {"gate": "β"}  # of what models tell about a word, see `explain_captions`

_COLUMNS = 6
_BOX_COLOUR = "#ff2fa0"
_NOTE_STYLE = {
    "color": "white",
    "bbox": {"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 2},
}


def attention_overlay(image, words, attention, boxes, facts=None):
    """Draws the picture and one panel per word.

    If the regions tile the picture as a grid, they light it up, as in Xu et al.'s figures.
    Otherwise they are drawn as boxes whose line width is their attention (Pedersoli et al. 2017,
    figure 5).

    Args:
        image: uint8 [H, W, 3].
        words: T strings.
        attention: [T, L], rows add up to 1.
        boxes: [L, 4] (ymin, xmin, ymax, xmax), as fractions of the picture's sides.
        facts: {name: T numbers} to write beside the words, such as the gate β on the context.
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
    texts = notes(facts or {}, len(words))
    for axis, word, weights, text in zip(axes[1:], words, attention, texts):
        if grid:
            axis.imshow(_lit(image, np.reshape(weights, grid)))
        else:
            axis.imshow(image)
            _draw_boxes(axis, boxes * np.tile(image.shape[:2], 2), weights)
        axis.set_title(word, fontsize=13)
        if text:
            place = {"transform": axis.transAxes, "ha": "right"}
            axis.text(0.97, 0.04, text, fontsize=9, **place, **_NOTE_STYLE)
    return figure


def notes(facts, words):
    """What is written beside each word.

    Args:
        facts: {name: [a number per word]}.
        words: how many there are.
    Returns:
        One text per word: the facts with their labels.
    """
    texts = []
    for word in range(words):
        parts = [f"{LABELS.get(name, name)} {values[word]:.2f}" for name, values in facts.items()]
        texts.append("  ".join(parts))
    return texts


def grid_of(boxes):
    """(height, width) of the grid that the boxes form, row by row; None if they form none."""
    height = len(np.unique(boxes[:, 0]))
    width = len(np.unique(boxes[:, 1]))
    y, x = np.meshgrid(np.arange(height) / height, np.arange(width) / width, indexing="ij")
    cells = np.stack([y, x, y + 1 / height, x + 1 / width], axis=-1).reshape(-1, 4)
    if boxes.shape == cells.shape and np.allclose(boxes, cells, atol=1e-5):
        return height, width
    return None


def _draw_boxes(axis, boxes, weights):
    for index in np.argsort(weights)[-BOXES:]:  # the strongest last, on top of the others
        ymin, xmin, ymax, xmax = boxes[index]
        style = {"linewidth": 6 * weights[index], "edgecolor": _BOX_COLOUR, "facecolor": "none"}
        axis.add_patch(Rectangle((xmin, ymin), xmax - xmin, ymax - ymin, **style))


def _lit(image, weights):
    """The picture, darkened where the attention is weak.

    Args:
        image: uint8 [H, W, 3].
        weights: [height, width] of a grid.
    Returns:
        uint8 [H, W, 3].
    """
    height, width = image.shape[:2]
    small = Image.fromarray(weights.astype(np.float32))
    smooth = small.resize((width, height), Image.Resampling.BICUBIC)
    light = np.clip(np.asarray(smooth) / max(float(weights.max()), 1e-9), 0, 1)[..., None]
    return (image * (0.18 + 0.82 * light)).astype(np.uint8)


def to_png(figure, dpi=80):
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save_overlay(path, picture, captioned, facts):
    """Draws a `Captioned` to a PNG file.

    Args:
        path: of the file.
        picture: uint8 [H, W, 3].
        captioned: a `Captioned`.
        facts: what `keras_sat.decoding.captioned.explain_captions` tells about it.
    """
    figure = attention_overlay(
        picture, captioned.words, captioned.attention, captioned.boxes, facts
    )
    with atomic(path) as temporary:
        temporary.write_bytes(to_png(figure, dpi=100))
