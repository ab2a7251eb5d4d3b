"""Systems side by side: how well they describe, and how much of their attention lies on what they name."""

from matplotlib.figure import Figure

from keras_sat.files import atomic


def save_comparison(path, scores):
    """Draws {name: scores} as bars to a PNG file: CIDEr, and attention correctness where there is any."""
    names = list(scores)
    figure = Figure(figsize=(10, 1 + 0.4 * len(names)), layout="constrained")
    quality, attention = figure.subplots(1, 2, sharey=True)
    quality.barh(names, [100 * scores[name].get("cider", 0) for name in names], color="#4477aa")
    quality.set_title("CIDEr")
    attention.barh(names, [100 * scores[name].get("correctness_generated", 0) for name in names], color="#cc6677")
    attention.set_title("Attention in the noun's box, percent (│ uniform)")
    for index, name in enumerate(names):
        if "correctness_uniform" in scores[name]:
            attention.plot([100 * scores[name]["correctness_uniform"]] * 2, [index - 0.4, index + 0.4], color="black")
    quality.invert_yaxis()
    for axis in (quality, attention):
        axis.spines[["top", "right"]].set_visible(False)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
