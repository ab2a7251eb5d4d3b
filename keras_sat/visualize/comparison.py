"""Systems side by side: how well they describe, and how much of their attention lies on what they name."""

import numpy as np
from matplotlib.figure import Figure

from keras_sat.evaluation.report import ROWS
from keras_sat.utils.files import atomic

QUALITY = (
    "cider",
    "spice",
    "meteor",
    "rouge",
    "bleu4",
)  # the first of them that was computed is drawn
_ATTENTION = "generated"
_BOUNDS = {"uniform": ("dashed", "uniform attention"), "best": ("dotted", "best possible")}
_COLOURS = "#4477aa", "#cc6677"


def save_comparison(path, systems):
    """Draws {title: `Evaluation`} as bars with their 95% confidence intervals to a PNG file.

    Left the quality of the captions; right attention correctness where there is any, with that of uniform attention and the
    best that is possible.
    """
    figure, axes, names = _axes(systems, height=1.2 + 0.4 * len(systems), sharey=True)
    for axis, name, colour in zip(axes, names, _COLOURS):
        places, values, errors = _numbers(systems, name)
        axis.barh(places, values, xerr=errors, color=colour, ecolor="#333333", capsize=3)
        for bound, (style, label) in _bounds(name):
            places, values, _ = _numbers(systems, f"{name}_{bound}")
            axis.vlines(
                values, places - 0.4, places + 0.4, color="black", linestyle=style, label=label
            )
    axes[0].set_yticks(range(len(systems)), list(systems))
    axes[0].invert_yaxis()
    _save(path, figure, axes, names)


def save_curve(path, systems, against="regions"):
    """Draws the same as `save_comparison` against a fact of the systems, on a logarithmic axis."""
    figure, axes, names = _axes(systems, height=4)
    at = np.array([each.facts[against] for each in systems.values()])
    for axis, name, colour in zip(axes, names, _COLOURS):
        places, values, errors = _numbers(systems, name)
        axis.errorbar(at[places], values, errors, color=colour, marker="o", capsize=3)
        for bound, (style, label) in _bounds(name):
            places, values, _ = _numbers(systems, f"{name}_{bound}")
            axis.plot(at[places], values, color="black", linestyle=style, label=label)
        axis.set(xlabel=ROWS[against], xscale="log")
        axis.set_xticks(at, [f"{number:.0f}" for number in at])
        axis.minorticks_off()
    _save(path, figure, axes, names)


def _axes(systems, height, **kwargs):
    known = {name for each in systems.values() for name in each.scores}
    names = [name for name in QUALITY if name in known][:1] + [
        name for name in [_ATTENTION] if name in known
    ]
    figure = Figure(figsize=(5.5 * len(names), height), layout="constrained")
    return figure, figure.subplots(1, len(names), squeeze=False, **kwargs)[0], names


def _numbers(systems, name):
    """Of the systems that have the score: places [S], values in percent [S], how far intervals reach [2, S]."""
    places = np.array([place for place, each in enumerate(systems.values()) if name in each.scores])
    known = [each for each in systems.values() if name in each.scores]
    values = 100 * np.array([each.values[name] for each in known])
    low, high = 100 * np.array([each.intervals[name] for each in known]).T
    return places, values, np.maximum([values - low, high - values], 0)


def _bounds(name):
    return _BOUNDS.items() if name == _ATTENTION else ()


def _save(path, figure, axes, names):
    for axis, name in zip(axes, names):
        axis.set_title(f"{ROWS[name]}, percent", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        if name == _ATTENTION:
            figure.legend(
                *axis.get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False
            )
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
