"""Systems side by side: the quality of their captions, and their attention correctness."""

import numpy as np
from matplotlib.figure import Figure

from keras_sat.evaluation.report import ROWS
from keras_sat.utils.files import atomic

QUALITY = ("cider", "spice", "meteor", "rouge", "bleu4")  # the first that was computed is drawn

_ATTENTION = "generated"
_BOUNDS = {"uniform": ("dashed", "uniform attention"), "best": ("dotted", "best possible")}
_COLOURS = ("#4477aa", "#cc6677")


def save_comparison(path, systems):
    """Draws systems as bars with their 95% confidence intervals.

    The quality of the captions is on the left. Attention correctness is on the right, if a system
    has it, with that of uniform attention and the best that is possible.

    Args:
        path: a PNG file.
        systems: {title: `Evaluation`}.
    """
    names = _names(systems)
    figure = _figure(names, height=1.2 + 0.4 * len(systems))
    axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axis, name, colour in zip(axes, names, _COLOURS):
        places, values, errors = _numbers(systems, name)
        axis.barh(places, values, xerr=errors, color=colour, ecolor="#333333", capsize=3)
        for bound, (style, label) in _bounds(name):
            places, values, _ = _numbers(systems, f"{name}_{bound}")
            line = {"color": "black", "linestyle": style, "label": label}
            axis.vlines(values, places - 0.4, places + 0.4, **line)
    axes[0].set_yticks(range(len(systems)), list(systems))
    axes[0].invert_yaxis()
    _save(path, figure, axes, names)


def save_curve(path, systems, against="regions"):
    """Draws what `save_comparison` does as curves over a fact of the systems.

    Args:
        path: a PNG file.
        systems: {title: `Evaluation`}.
        against: the fact's name; its axis is logarithmic.
    """
    names = _names(systems)
    figure = _figure(names, height=4)
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    facts = np.array([evaluation.facts[against] for evaluation in systems.values()])
    for axis, name, colour in zip(axes, names, _COLOURS):
        places, values, errors = _numbers(systems, name)
        axis.errorbar(facts[places], values, errors, color=colour, marker="o", capsize=3)
        for bound, (style, label) in _bounds(name):
            places, values, _ = _numbers(systems, f"{name}_{bound}")
            axis.plot(facts[places], values, color="black", linestyle=style, label=label)
        axis.set(xlabel=ROWS[against], xscale="log")
        axis.set_xticks(facts, [f"{fact:.0f}" for fact in facts])
        axis.minorticks_off()
    _save(path, figure, axes, names)


def _names(systems):
    """The scores to draw: the first known one of `QUALITY`, and attention correctness."""
    known = set()
    for evaluation in systems.values():
        known.update(evaluation.scores)
    names = [name for name in QUALITY if name in known][:1]
    if _ATTENTION in known:
        names.append(_ATTENTION)
    return names


def _figure(names, height):
    return Figure(figsize=(5.5 * len(names), height), layout="constrained")


def _numbers(systems, name):
    """The numbers of the S systems that have a score.

    Returns:
        The systems' places [S], values in percent [S], and distances from the values to the lower
        and upper ends of the intervals [2, S].
    """
    places = []
    values = []
    intervals = []
    for place, evaluation in enumerate(systems.values()):
        if name in evaluation.scores:
            places.append(place)
            values.append(evaluation.values[name])
            intervals.append(evaluation.intervals[name])
    values = 100 * np.array(values)
    low, high = 100 * np.array(intervals).T
    return np.array(places), values, np.maximum([values - low, high - values], 0)


def _bounds(name):
    return _BOUNDS.items() if name == _ATTENTION else ()


def _save(path, figure, axes, names):
    for axis, name in zip(axes, names):
        axis.set_title(f"{ROWS[name]}, percent", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        if name == _ATTENTION:
            handles, labels = axis.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower right", ncols=2, frameon=False)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
