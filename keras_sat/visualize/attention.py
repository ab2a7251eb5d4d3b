"""What the captioner attends to: the picture once per word, with the attention drawn over it."""

import io
import textwrap

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from keras_sat.utils.files import atomic
from keras_sat.visualize.heat import (
    attention_maps,
    coloured,
    dimmed,
    grid_of,
    relative,
    top_of_scale,
)

BOXES = 20  # drawn at most, the strongest
LABELS = {"gate": "β"}  # of what models tell about a word, see `explain_captions`

_COLUMNS = 6
_WIDTH = 1.9  # of a panel, inches
_HEADING = 0.4  # over a panel, inches
_SIDES = (0.4, 2.5)  # the least and greatest ratio of a panel's height to its width
_TITLE_PER_COLUMN = 19  # characters of the title that fit over a column
_LEGEND = np.linspace(0, 1, 256)  # of the strongest colour
_MAP_PIXELS = 256  # the longer side of a map; the figure is not finer
_NOTE_STYLE = {
    "color": "white",
    "bbox": {"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 2},
}


def attention_overlay(image, words, attention, boxes, facts=None):
    """Draws the picture and one panel per word, under the caption, with a legend of the colours.

    If the regions tile the picture as a grid, a map of colours lies over it. Otherwise they are
    drawn as boxes whose line width is their attention (Pedersoli et al. 2017, figure 5). One scale
    holds for all words. A word's attention is multiplied by its gate β, where the model has one:
    a word that was written without looking shows none.

    Args:
        image: uint8 [H, W, 3].
        words: T strings.
        attention: [T, L], rows add up to 1.
        boxes: [L, 4] (ymin, xmin, ymax, xmax), as fractions of the picture's sides.
        facts: {name: T numbers} to write beside the words, such as the gate β on the context.
    Returns:
        A matplotlib Figure.
    """
    facts = facts or {}
    panels = 1 + len(words)
    columns = min(panels, _COLUMNS)
    rows = -(-panels // columns)
    wide = max(2, columns)  # enough for the legend
    title = textwrap.fill(" ".join(words), wide * _TITLE_PER_COLUMN)
    height = _HEADING + _WIDTH * float(np.clip(image.shape[0] / image.shape[1], *_SIDES))
    around = 0.9 + 0.25 * title.count("\n")  # inches, of the title and the legend
    size = (_WIDTH * wide, height * rows + around)
    layout = ConstrainedLayoutEngine(h_pad=0.06, hspace=0.02)
    figure = Figure(figsize=size, layout=layout)
    axes = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axis in axes:
        axis.axis("off")
    for axis in axes[:panels]:
        axis.imshow(image)
    figure.suptitle(title, fontsize=14)
    if not words:
        return figure
    shown = dimmed(np.asarray(attention), facts)
    is_grid = grid_of(boxes) is not None
    draw = _draw_maps if is_grid else _draw_boxes
    most = draw(axes[1:panels], image.shape[:2], shown, boxes)
    for axis, word, text in zip(axes[1:], words, notes(facts, len(words))):
        axis.set_title(word, fontsize=13)
        if text:
            place = {"transform": axis.transAxes, "ha": "right"}
            axis.text(0.97, 0.04, text, fontsize=9, **place, **_NOTE_STYLE)
    what = "β × attention" if "gate" in facts else "attention"
    unit = "as a multiple of uniform attention" if is_grid else "share of each box"
    colours = ScalarMappable(Normalize(0, most), ListedColormap(coloured(_LEGEND, 1) / 255))
    legend = figure.colorbar(colours, ax=axes, location="bottom", fraction=0.03, aspect=50)
    legend.set_label(f"{what}, {unit}", fontsize=9)
    legend.ax.tick_params(labelsize=8)
    return figure


def _draw_maps(axes, shape, attention, boxes):
    """Lays a map of colours over each panel; returns the value of the strongest colour."""
    scale = min(1, _MAP_PIXELS / max(shape))
    size = [max(1, round(side * scale)) for side in shape]
    maps = relative(attention_maps(attention, boxes, size))
    most = top_of_scale(maps)
    height, width = shape
    for axis, each in zip(axes, maps):
        axis.imshow(coloured(each, most), extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    return most


def _draw_boxes(axes, shape, attention, boxes):
    """Draws each panel's strongest boxes; returns the value of the strongest colour."""
    most = float(attention.max())
    corners = boxes * np.tile(shape, 2)
    for axis, weights in zip(axes, attention):
        for index in np.argsort(weights)[-BOXES:]:  # the strongest last, on top of the others
            ymin, xmin, ymax, xmax = corners[index]
            colour = coloured(weights[index], most) / 255
            style = {"linewidth": 6 * weights[index], "edgecolor": colour, "facecolor": "none"}
            axis.add_patch(Rectangle((xmin, ymin), xmax - xmin, ymax - ymin, **style))
    return most


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


def to_png(figure, dpi=80):
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save_figure(path, figure):
    """Writes a figure, whole or not at all, in the format that the file's suffix names."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lower().removeprefix("."), dpi=100)


def save_overlay(path, picture, captioned, facts):
    """Draws a `Captioned` to a file.

    Args:
        path: of the file, a Path; its suffix names the format.
        picture: uint8 [H, W, 3].
        captioned: a `Captioned`.
        facts: what `keras_sat.decoding.captioned.explain_captions` tells about it.
    """
    figure = attention_overlay(
        picture, captioned.words, captioned.attention, captioned.boxes, facts
    )
    save_figure(path, figure)
