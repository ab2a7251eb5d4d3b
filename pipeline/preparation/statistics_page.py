"""statistics.html: a data set as one self-contained page: numbers, sample pictures, plots."""

import base64
import html

from keras_sat.visualize.gallery import embedded_jpeg
from pipeline.preparation.statistics_plots import plots

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
_PIXELS = 240  # the longer side of a sample picture
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
body {{ max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
  font: 1rem/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.5rem; overflow-wrap: anywhere; }}
.wide {{ overflow-x: auto; }}
td, th {{ padding: .1rem .9rem; text-align: right; font-variant-numeric: tabular-nums; }}
td:first-child {{ padding-left: 0; text-align: left; }}
@media (max-width: 30rem) {{ table {{ font-size: .85rem; }} td, th {{ padding: .1rem .3rem; }} }}
.plots {{ width: 100%; height: auto; background: #fff; }}
.samples {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr));
  gap: 1.5rem; margin: 0; padding: 0; list-style: none; }}
.samples ul {{ margin: .3rem 0; padding-left: 1.1rem; font-size: .9rem; }}
.samples small {{ overflow-wrap: anywhere; opacity: .7; }}
</style>
</head>
<body>
<h1>{title}</h1>
<div class="wide"><table>{statistics}</table></div>
<h2>Left out</h2>
<div class="wide"><table>{left_out}</table></div>
<h2>Samples of the training split</h2>
<ul class="samples">{samples}</ul>
<h2>Distributions</h2>
<img class="plots" alt="Plots of words, lengths of captions and sizes of pictures" src="{plots}">
</body>
</html>
"""
_SAMPLE = """<li><img alt="" {picture}><ul>{captions}</ul><small>{name}</small></li>"""


def page(config, statistics, failures, counts, samples):
    """The page as HTML text.

    Args:
        config: a `keras_sat.config.Prepare`.
        statistics: what `statistics_gen.summarise` returns.
        failures: what `statistics_gen.count_failures` returns.
        counts: what `statistics_gen.count_values` wrote.
        samples: [(`Record`, its picture uint8 [H, W, 3])].
    """
    png = base64.b64encode(plots(statistics, counts, config.min_count)).decode()
    return _PAGE.format(
        title=html.escape(f"{config.dataset}: {config.source}"),
        statistics=_statistics_rows(statistics),
        left_out=_failure_rows(failures) or "<tr><td>nothing</td></tr>",
        samples="".join(_sample(record, picture) for record, picture in samples),
        plots=f"data:image/png;base64,{png}",
    )


def _sample(record, picture):
    captions = "".join(f"<li>{html.escape(caption)}</li>" for caption in record.captions)
    return _SAMPLE.format(
        picture=embedded_jpeg(picture, _PIXELS),
        captions=captions,
        name=html.escape(record.source_id),
    )


def _statistics_rows(statistics):
    """The table's rows: a header with the splits, then one row per statistic."""
    header = "".join(f"<th>{split}</th>" for split in statistics)
    rows = [f"<tr><th></th>{header}</tr>"]
    for key in _ROWS:
        cells = "".join(f"<td>{_text(found[key])}</td>" for found in statistics.values())
        name = key.replace("_an_", "_per_").replace("_a_", "_per_").replace("_", " ")
        rows.append(f"<tr><td>{name}</td>{cells}</tr>")
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
        return " – ".join(f"{each:,}" for each in sorted(set(value)))
    return f"{value:.2%}" if isinstance(value, float) else f"{value:,}"
