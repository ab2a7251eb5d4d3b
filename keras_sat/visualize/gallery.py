"""gallery.html: the best, the worst and random captions of an evaluation, with what was attended to at each word.

One file that opens from disk and loads nothing: pictures and attention are in it.
"""

import base64
import html
import io
import json
import math
from importlib import resources
from string import Template

import numpy as np
from PIL import Image

from keras_sat.encoder.inputs import shown_picture
from keras_sat.evaluation.report import ROWS, formatted
from keras_sat.utils.files import write_text
from keras_sat.visualize.attention import BOXES, grid_of, notes
from keras_sat.visualize.comparison import QUALITY

EACH = 12  # images of a kind

_SCORES = {  # with their names on a card
    **{name: ROWS[name] for name in QUALITY},
    "generated": "in the box",
    "pointing": "strongest on the object",
    "misbound": "misbound",
}
_PIXELS = 400  # the longer side of a picture


def write_gallery(path, title, evaluation, captioned, pictures, explain=lambda captioned: {}):
    """Writes the page.

    Args:
        evaluation: an `Evaluation`. captioned: its images' `Captioned`.
        pictures: function from a set of image ids to {image id: uint8 [H, W, 3] as the captioner saw it}.
        explain: function from a list of `Captioned` to {image id: {name: [a number for each word]}}, such as gates.
    """
    kinds = choose(evaluation)
    chosen = {image for _, images in kinds for image in images}
    by_id = {each.source_id: each for each in captioned if each.source_id in chosen}
    shown, explained = pictures(chosen), explain(list(by_id.values()))
    each, attention = evaluation.each(), []
    sections = []
    for heading, images in kinds:
        cards = []
        for image in images:
            known = [name for name in _SCORES if name in each and not math.isnan(each[name][image])]
            scores = {name: each[name][image] for name in known}
            cards.append(_card(by_id[image], evaluation.references[image], scores, shown[image]))
            attention.append(_attention(by_id[image], explained.get(image, {})))
        sections.append(
            f"<section><h2>{heading}</h2><ul class=cards>{''.join(cards)}</ul></section>"
        )
    template = resources.files(__package__).joinpath("gallery.html").read_text(encoding="utf-8")
    page = Template(template).substitute(
        title=html.escape(title),
        totals=_totals(evaluation),
        sections="\n".join(sections),
        attention=json.dumps(attention, separators=(",", ":")).replace("<", "\\u003c"),
    )
    write_text(path, page)


def choose(evaluation, seed=1):
    """[(heading, image ids)]: the best by the first score there is of CIDEr-D, SPICE, …, the worst, and random others."""
    name = next(name for name in QUALITY if name in evaluation.scores)
    scores = evaluation.each()[name]
    order = sorted(scores, key=lambda image: (-scores[image], image))
    count = min(EACH, -(-len(order) // 3))
    best, worst, others = (
        order[:count],
        order[count:][::-1][:count],
        order[count : max(count, len(order) - count)],
    )
    picked = np.random.default_rng(seed).permutation(len(others))[:count]
    kinds = {
        f"The best by {ROWS[name]}": best,
        f"The worst by {ROWS[name]}": worst,
        "Random others": [others[place] for place in picked],
    }
    return [(heading, images) for heading, images in kinds.items() if images]


def stored_pictures(data, split):
    """The function `pictures` of `write_gallery` for a split of a `PreparedData` that holds its pictures."""
    from keras_sat.data.reading import read_records

    def pictures(images):
        records = (record for record in read_records(data, split) if record.source_id in images)
        return {
            record.source_id: shown_picture(record.encoded, data.manifest["encoder"])
            for record in records
        }

    return pictures


def _totals(evaluation):
    rows = []
    for name in _SCORES:
        if name in evaluation.scores:
            text, *ends = formatted(name, (evaluation.values[name], *evaluation.intervals[name]))
            rows.append(
                f"<div><dt>{html.escape(ROWS[name])}</dt><dd>{text} <small>{' – '.join(ends)}</small></dd></div>"
            )
    return f"<dl class=totals>{''.join(rows)}</dl>"


def _card(captioned, references, scores, picture):
    words = (
        f"<button type=button tabindex={-1 if place else 0} aria-pressed=false>{html.escape(word)}</button>"
        for place, word in enumerate(captioned.words)
    )
    listed = (f"<li>{html.escape(text)}</li>" for text in references)
    rows = (
        f"<div><dt>{_SCORES[name]}</dt><dd>{formatted(name, (value,))[0]}</dd></div>"
        for name, value in scores.items()
    )
    return f"""<li class=card>
<div class=stage><img alt="{html.escape(captioned.caption)}" {_jpeg(picture)}><canvas></canvas><output></output></div>
<div class=body>
<div class=words role=group aria-label="generated caption">{" ".join(words)}</div>
<ul class=references aria-label=references>{"".join(listed)}</ul>
<dl class=scores>{"".join(rows)}</dl>
<div class=name>{html.escape(captioned.source_id)}</div>
</div></li>"""


def _jpeg(picture):
    """The attributes of an <img> that holds the picture."""
    image, file = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((_PIXELS, _PIXELS))
    image.save(file, "JPEG", quality=85)
    data = base64.b64encode(file.getvalue()).decode()
    return f'width={image.width} height={image.height} src="data:image/jpeg;base64,{data}"'


def _attention(captioned, facts):
    """What the page's script paints: of each word a grid's light, a byte a cell, or the strongest boxes with weights."""
    grid, written = grid_of(captioned.boxes), notes(facts, len(captioned.words))
    if grid:
        light = captioned.attention / np.maximum(
            captioned.attention.max(axis=-1, keepdims=True), 1e-9
        )
        cells = np.round(255 * np.clip(light, 0, 1)).astype(np.uint8)
        return {
            "grid": grid,
            "notes": written,
            "words": [base64.b64encode(each.tobytes()).decode() for each in cells],
        }
    strongest = np.argsort(captioned.attention, axis=-1)[:, -BOXES:]
    rows = [
        np.column_stack([captioned.boxes[at], w[at]])
        for at, w in zip(strongest, captioned.attention)
    ]
    return {"grid": None, "notes": written, "words": [np.round(each, 3).tolist() for each in rows]}
