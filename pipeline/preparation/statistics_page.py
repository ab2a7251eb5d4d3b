"""statistics.html: the statistics of a data set as one self-contained page of plots."""

import base64
import html
import io

_ROWS = (
    "images",
    "captions",
    "tokens",
    "unknown_words",
    "unknown_share",
    "distinct_words",
    "coverage",
    "captions_an_image",
)
_ROWS += ("words_a_caption", "height", "width")
_STYLE = (
    "body{font:15px sans-serif;max-width:1100px;margin:2em auto}td,th{padding:2px 14px;text-align:right}"
    "td:first-child{text-align:left}img{width:100%}"
)


def page(config, statistics, failures, counts):
    """HTML text.

    Args:
        config: a `keras_sat.config.Prepare`. statistics, failures: of `summarise` and `count_failures`. counts: of
            StatisticsGen.
    """
    header = "".join(f"<th>{split}</th>" for split in statistics)
    rows = [
        (key.replace("_", " "), [statistics[split][key] for split in statistics]) for key in _ROWS
    ]
    table = "".join(
        f"<tr><td>{key}</td>{''.join(f'<td>{_text(v)}</td>' for v in values)}</tr>"
        for key, values in rows
    )
    reasons = [
        (f"{split}: {reason}", count)
        for split, found in failures.items()
        for reason, count in found.items()
    ]
    left_out = "".join(
        f"<tr><td>{html.escape(reason)}</td><td>{count:,}</td></tr>" for reason, count in reasons
    )
    picture = base64.b64encode(_plots(statistics, counts, config.min_count)).decode()
    title = html.escape(f"{config.dataset}: {config.source}")
    return (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"
        f"<table><tr><th></th>{header}</tr>{table}</table><h2>Left out</h2>"
        f"<table>{left_out or '<tr><td>nothing</td></tr>'}</table><img alt=plots src='data:image/png;base64,{picture}'>\n"
    )


def _text(value):
    if isinstance(value, list):
        return " – ".join(f"{each:,}" for each in value)
    return f"{value:.2%}" if isinstance(value, float) else f"{value:,}"


def _plots(statistics, counts, min_count):
    """PNG bytes; the same bytes for the same numbers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    lengths, captions, words, sizes = figure.subplots(2, 2).flat
    for split, found in statistics.items():
        for axis, kind, less in ((lengths, "lengths", 1), (captions, "captions_each", 0)):
            points = sorted((int(value) - less, count) for value, count in found[kind].items())
            total = sum(count for _, count in points)
            axis.plot(
                [value for value, _ in points],
                [count / total for _, count in points],
                ".-",
                label=split,
            )
        ranked = sorted(counts[split]["words"].values(), reverse=True)
        words.loglog(range(1, len(ranked) + 1), ranked, label=split)
        pixels = [tuple(map(int, size.split("x"))) for size in found["sizes"]]
        sizes.scatter([w for _, w in pixels], [h for h, _ in pixels], s=8, label=split)
    words.axhline(min_count, color="grey", linestyle=":", label="min_count")
    for axis, title, x, y in (
        (lengths, "Words a caption", "words", "share of captions"),
        (captions, "Captions an image", "captions", "share of images"),
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
