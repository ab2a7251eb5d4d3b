"""The plots of statistics.html."""

import io

from matplotlib.figure import Figure

_WIDTH = 5.5  # inches of a plot; it is 3.5 high
_COLUMNS = 2


def plots(statistics, counts, min_count):
    """The plots that have something to show: where all values are equal, the table says it.

    Args:
        statistics: what `statistics_gen.summarise` returns.
        counts: what `statistics_gen.count_values` wrote.
        min_count: how often each word of the vocabulary occurs at least.

    Returns:
        PNG bytes. Equal numbers give equal bytes.
    """
    drawn = [_words]
    for key, draw in (("lengths", _lengths), ("captions_each", _captions), ("sizes", _sizes)):
        values = set()
        for found in statistics.values():
            values |= set(found[key])
        if len(values) > 1:
            drawn.append(draw)
    rows = -(-len(drawn) // _COLUMNS)
    figure = Figure(figsize=(_WIDTH * _COLUMNS, 3.5 * rows), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for axis, draw in zip(axes, drawn):
        draw(axis, statistics, counts)
        if draw is _words:
            axis.axhline(min_count, color="grey", linestyle=":", label="min_count")
        axis.legend()
    for axis in list(axes)[len(drawn) :]:
        axis.remove()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _words(axis, statistics, counts):
    for split in statistics:
        ranked = sorted(counts[split]["words"].values(), reverse=True)
        axis.loglog(range(1, len(ranked) + 1), ranked, label=split)
    axis.set(title="Occurrences of words", xlabel="rank", ylabel="occurrences")


def _lengths(axis, statistics, counts):
    for split, found in statistics.items():
        lengths = {int(n) - 1: count for n, count in found["lengths"].items()}  # without END
        _plot_shares(axis, lengths, split)
    axis.set(title="Words per caption", xlabel="words", ylabel="share of captions")


def _captions(axis, statistics, counts):
    for split, found in statistics.items():
        _plot_shares(axis, {int(n): count for n, count in found["captions_each"].items()}, split)
    axis.set(title="Captions per image", xlabel="captions", ylabel="share of images")


def _sizes(axis, statistics, counts):
    for split, found in statistics.items():
        sizes = [size.split("x") for size in found["sizes"]]
        heights = [int(height) for height, _ in sizes]
        widths = [int(width) for _, width in sizes]
        axis.scatter(widths, heights, s=8, label=split)
    axis.set(title="Sizes of pictures", xlabel="width in pixels", ylabel="height in pixels")
    axis.set(xlim=(0, None), ylim=(0, None))


def _plot_shares(axis, counts, label):
    """Plots {number: count} as shares of the sum of the counts."""
    total = sum(counts.values())
    numbers = sorted(counts)
    shares = [counts[number] / total for number in numbers]
    axis.plot(numbers, shares, ".-", label=label)
    axis.set(xlim=(0, None), ylim=(0, None))
