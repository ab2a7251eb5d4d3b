"""Systems side by side: how well they describe, and how much of their attention lies on what they name."""

import numpy as np
from matplotlib.figure import Figure

from keras_sat.evaluation.report import ROWS
from keras_sat.files import atomic

QUALITY, ATTENTION = "#4477aa", "#cc6677"
BOUNDS = {"uniform": "solid", "best": "dotted"}


def save_comparison(path, systems, quality="cider"):
    """Draws {title: `Evaluation`} as bars with their 95% confidence intervals to a PNG file.

    Left the score named `quality`; right attention correctness where there is any, between uniform attention and the best
    that is possible.
    """
    titles = list(systems)
    figure = Figure(figsize=(10, 1.2 + 0.4 * len(titles)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, name, colour in zip(axes, (quality, "generated"), (QUALITY, ATTENTION)):
        known = {title: each for title, each in systems.items() if name in each.scores}
        values, errors = with_errors(list(known.values()), name)
        axis.barh([titles.index(title) for title in known], values, xerr=errors, color=colour, ecolor="#333333", capsize=3)
        for bound, style in (("uniform", "-"), ("best", ":")) if name == "generated" else ():
            for title, each in known.items():
                place = titles.index(title)
                label = f"{bound} attention" if place == 0 else None
                axis.plot(
                    [100 * each.values[f"generated_{bound}"]] * 2,
                    [place - 0.4, place + 0.4],
                    style,
                    color="black",
                    label=label,
                )
        axis.set_xlabel(f"{ROWS[name]}, percent")
        axis.spines[["top", "right"]].set_visible(False)
    if axes[1].collections:
        axes[1].legend(loc="lower right")
    axes[0].set_yticks(range(len(titles)), titles)
    axes[0].invert_yaxis()
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def with_errors(evaluations, name):
    """A score of evaluations in percent, [E], and how far its interval reaches below and above it, [2, E]."""
    values = 100 * np.array([each.values[name] for each in evaluations])
    ends = 100 * np.reshape([each.intervals[name] for each in evaluations], [-1, 2]).T
    return values, np.maximum([values - ends[0], ends[1] - values], 0)
