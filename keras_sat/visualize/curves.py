"""Learning curves: how the captions and the likelihood of the validation images grow with the epochs."""

import itertools

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_sat.utils.files import atomic


def save_curves(path, records):
    """Draws the curves in records (see `keras_sat.evaluation.records`) to a PNG file."""
    records = [each for each in records if each["curve"]]
    colours = colormaps["tab10" if len(records) <= 10 else "tab20"].colors
    rows = -(-len(records) // 3)
    figure = Figure(figsize=(11, 4 + rows / 5), layout="constrained")
    captions, words = figure.subplots(1, 2)
    for record, colour in zip(records, itertools.cycle(colours)):
        curve = record["curve"]
        epochs = [line["epoch"] for line in curve]
        style = {"color": colour, "marker": ".", "label": record["system"]}
        captions.plot(epochs, [100 * line["val_cider"] for line in curve], **style)
        words.plot(epochs, [line["val_word_loss"] for line in curve], **style)
        # Of samples of its own, a model's likelihood in training says nothing of how well it learned the captions.
        if record["runs"][0]["train"].get("objective") != "cider":
            words.plot(
                epochs, [line["word_loss"] for line in curve], color=colour, linestyle="dotted"
            )
    captions.set_title("CIDEr-D of greedy captions, validation split, percent", fontsize=10)
    words.set_title(
        "nats a word: validation (solid), training with its dropout (dotted)", fontsize=10
    )
    for axis in (captions, words):
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *words.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
