"""statistics.html: the statistics of a data set as one self-contained page of plots."""

import base64
import html
import io

from matplotlib.figure import Figure

_ROWS = (
    "images",
    "captions",
    "tokens",
    "unknown_words",
    "unknown_share",
    "distinct_words",
    "coverage",
    "captions_an_image",
    "words_a_caption",
    "height",
    "width",
)
_STYLE = (
    "body{font:15px sans-serif;max-width:1100px;margin:2em auto}"
    "td,th{padding:2px 14px;text-align:right}"
    "td:first-child{text-align:left}img{width:100%}"
)


def page(config, statistics, failures, counts):
    """The page as HTML text.

    Args:
        config: a `keras_sat.config.Prepare`.
        statistics: what `statistics_gen.summarise` returns.
        failures: what `statistics_gen.count_failures` returns.
        counts: what `statistics_gen.count_values` wrote.
    """
    title = html.escape(f"{config.dataset}: {config.source}")
    left_out = _failure_rows(failures) or "<tr><td>nothing</td></tr>"
    picture = base64.b64encode(_plots(statistics, counts, config.min_count)).decode()
    return (
        f"<!doctype html><meta charset=utf-8><title>{title}</title>"
        f"<style>{_STYLE}</style><h1>{title}</h1>"
        f"<table>{_statistics_rows(statistics)}</table><h2>Left out</h2>"
        f"<table>{left_out}</table>"
        f"<img alt=plots src='data:image/png;base64,{picture}'>\n"
    )


def _statistics_rows(statistics):
    """The table's rows: a header with the splits, then one row per statistic."""
    header = "".join(f"<th>{split}</th>" for split in statistics)
    rows = [f"<tr><th></th>{header}</tr>"]
    for key in _ROWS:
        cells = "".join(f"<td>{_text(found[key])}</td>" for found in statistics.values())
        rows.append(f"<tr><td>{key.replace('_', ' ')}</td>{cells}</tr>")
    return "".join(rows)


def _failure_rows(failures):
    """The table's rows: one per split and reason; empty if there are no failures."""
    rows = []
    for split, reasons in failures.items():
        for reason, count in reasons.items():
            name = html.escape(f"{split}: {reason}")
            rows.append(f"<tr><td>{name}</td><td>{count:,}</td></tr>")
    return "".join(rows)


def _text(value):
    if isinstance(value, list):
        return " – ".join(f"{each:,}" for each in value)
    return f"{value:.2%}" if isinstance(value, float) else f"{value:,}"


def _plots(statistics, counts, min_count):
    """PNG bytes. Equal numbers give equal bytes."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    lengths, captions, words, sizes = figure.subplots(2, 2).flat
    for split, found in statistics.items():
        words_per_caption = {int(n) - 1: count for n, count in found["lengths"].items()}  # no END
        captions_per_image = {int(n): count for n, count in found["captions_each"].items()}
        _plot_shares(lengths, words_per_caption, split)
        _plot_shares(captions, captions_per_image, split)
        ranked = sorted(counts[split]["words"].values(), reverse=True)
        words.loglog(range(1, len(ranked) + 1), ranked, label=split)
        heights_widths = [size.split("x") for size in found["sizes"]]
        heights = [int(height) for height, _ in heights_widths]
        widths = [int(width) for _, width in heights_widths]
        sizes.scatter(widths, heights, s=8, label=split)
    words.axhline(min_count, color="grey", linestyle=":", label="min_count")
    for axis, title, x, y in (
        (lengths, "Words per caption", "words", "share of captions"),
        (captions, "Captions per image", "captions", "share of images"),
        (words, "Occurrences of words", "rank", "occurrences"),
        (sizes, "Sizes of pictures", "width in pixels", "height in pixels"),
    ):
        axis.set(title=title, xlabel=x, ylabel=y)
        if axis is not words:
            axis.set(xlim=(0, None), ylim=(0, None))
        axis.legend()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _plot_shares(axis, counts, label):
    """Plots {number: count} as shares of the sum of the counts."""
    total = sum(counts.values())
    numbers = sorted(counts)
    shares = [counts[number] / total for number in numbers]
    axis.plot(numbers, shares, ".-", label=label)
