"""Learning curves: the quality and likelihood of the validation captions over the epochs."""

import itertools

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_sat.utils.files import atomic

_OTHERS = "0.82"  # light grey


def save_curves(path, records, named=None):
    """Draws the learning curves of systems.

    Args:
        path: a PNG file.
        records: see `keras_sat.evaluation.records`. Those without a curve are left out.
        named: the names of the systems to tell apart by colour; the others are grey. By default
            all of them.
    """
    records = [record for record in records if record["curve"]]
    coloured = [record for record in records if named is None or record["system"] in named]
    colours = colormaps["tab10" if len(coloured) <= 10 else "tab20"].colors
    legend_rows = -(-(len(coloured) + 1) // 3)
    figure = Figure(figsize=(11, 4 + legend_rows / 5), layout="constrained")
    captions, words = figure.subplots(1, 2)
    others = [record for record in records if record not in coloured]
    for number, record in enumerate(others):
        label = "other recorded systems" if number == 0 else "_"
        _draw(captions, words, record, {"color": _OTHERS, "label": label, "zorder": 1})
    for record, colour in zip(coloured, itertools.cycle(colours)):
        style = {"color": colour, "label": record["system"], "marker": ".", "zorder": 2}
        _draw(captions, words, record, style)
    captions.set_title("CIDEr-D of greedy captions, validation split, percent", fontsize=10)
    words.set_title(
        "nats per word: validation (solid), training with its dropout (dotted)", fontsize=10
    )
    for axis in (captions, words):
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = words.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw(captions, words, record, style):
    """Draws one system: CIDEr-D to the axes `captions`, losses per word to the axes `words`."""
    curve = record["curve"]
    epochs = [line["epoch"] for line in curve]
    captions.plot(epochs, [100 * line["val_cider"] for line in curve], **style)
    words.plot(epochs, [line["val_word_loss"] for line in curve], **style)
    # The likelihood of a model's own samples does not say how well it learned the true captions.
    if record["runs"][0]["train"].get("objective") != "cider":
        losses = [line["word_loss"] for line in curve]
        words.plot(epochs, losses, **style | {"label": "_", "marker": None}, linestyle="dotted")
