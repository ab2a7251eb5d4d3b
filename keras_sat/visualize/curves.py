"""Learning curves: how the captions and the likelihood of the validation images grow with the epochs."""

from matplotlib.figure import Figure

from keras_sat.files import atomic

_PANELS = {"val_cider": ("CIDEr-D of greedy captions, validation split, percent", 100), "val_word_loss": ("nats a word", 1)}


def save_curves(path, records):
    """Draws the curves in records (see `keras_sat.evaluation.records`) to a PNG file."""
    curves = {record["system"]: record["curve"] for record in records if record["curve"]}
    # Of samples of its own, a model's likelihood in training says nothing of how well it learned the captions.
    by_likelihood = {each["system"] for each in records if each["runs"][0]["train"].get("objective") != "cider"}
    figure = Figure(figsize=(11, 4), layout="constrained")
    for axis, (name, (title, factor)) in zip(figure.subplots(1, 2), _PANELS.items()):
        for run, lines in curves.items():
            axis.plot([line["epoch"] for line in lines], [factor * line[name] for line in lines], marker=".", label=run)
        if name == "val_word_loss":
            for place, (run, lines) in enumerate(curves.items()):
                if run in by_likelihood:
                    losses = [line["word_loss"] for line in lines]
                    axis.plot([line["epoch"] for line in lines], losses, color=f"C{place}", linestyle="dotted")
            title = f"{title}: validation (solid), training with its dropout (dotted)"
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch")
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
