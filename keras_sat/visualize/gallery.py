"""gallery.html: the best, worst and random captions of an evaluation, with their attention.

The page is one file, opens from disk and loads nothing: pictures and attention are in it.
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

from keras_sat.data.reading import read_records
from keras_sat.encoder.inputs import shown_picture
from keras_sat.evaluation.report import ROWS, formatted
from keras_sat.utils.files import write_text
from keras_sat.visualize.attention import notes
from keras_sat.visualize.comparison import QUALITY
from keras_sat.visualize.page_attention import asset, page_attention

EACH = 12  # images of a kind: best, worst, random

_SCORES = {  # with their names on a card
    **{name: ROWS[name] for name in QUALITY},
    "generated": "in the box",
    "pointing": "strongest on the object",
    "misbound": "misbound",
}
_EXPLAINED = {
    "bleu4": "Runs of up to four words shared with the references, 0 to 100",
    "meteor": "Words matched with a reference, synonyms and stems included, 0 to 100",
    "rouge": "The longest common subsequence with a reference, 0 to 100",
    "cider": "Agreement with the references, rare words counting more; above 100 is possible",
    "spice": "Objects, attributes and relations shared with the references, 0 to 100",
    "generated": "The share of a noun's attention inside the box of its object",
    "pointing": "How often a noun's strongest region lies on its object",
    "misbound": "How often an attribute is given to the wrong object; lower is better",
}
_PIXELS = 400  # the longer side of a picture

_SECTION = "<section><h2>{heading}</h2><ul class=cards>{cards}</ul></section>"
_TOTAL = "<div><dt{title}>{label}</dt><dd>{value} <small>{interval}</small></dd></div>"
_WORD = "<button type=button tabindex={tabindex} aria-pressed=false>{word}</button>"
_SCORE = "<div><dt{title}>{label}</dt><dd>{value}</dd></div>"
_CARD = """<li class=card>
<div class=stage><img alt="{caption}" {picture}><canvas></canvas><output></output></div>
<div class=body>
<div class=words role=group aria-label="generated caption">{words}</div>
<ul class=references aria-label=references>{references}</ul>
<dl class=scores>{scores}</dl>
<div class=name>{name}</div>
</div></li>"""


def _explain_nothing(captioned):
    return {}


def write_gallery(path, title, evaluation, captioned, pictures, explain=_explain_nothing):
    """Writes the page.

    Args:
        path: the file.
        title: of the page.
        evaluation: an `Evaluation`.
        captioned: its images' `Captioned`.
        pictures: function from a set of image ids to {image id: uint8 [H, W, 3]}, the pictures as
            the captioner saw them.
        explain: function from a list of `Captioned` to {image id: {name: [a number per word]}},
            such as gates.
    """
    kinds = choose(evaluation)
    chosen = set()
    for _, images in kinds:
        chosen.update(images)
    by_id = {each.source_id: each for each in captioned if each.source_id in chosen}
    shown = pictures(chosen)
    explained = explain(list(by_id.values()))
    scores = evaluation.each()
    sections = []
    attention = []  # of each card, for the page's script
    for heading, images in kinds:
        cards = []
        for image in images:
            known = _scores_of(image, scores)
            references = evaluation.references[image]
            cards.append(_card(by_id[image], references, known, shown[image]))
            each = by_id[image]
            texts = notes(explained.get(image, {}), len(each.words))
            attention.append(page_attention(each.attention, each.boxes, texts))
        sections.append(_SECTION.format(heading=heading, cards="".join(cards)))
    template = resources.files(__package__).joinpath("gallery.html").read_text(encoding="utf-8")
    page = Template(template).substitute(
        title=html.escape(title),
        style=asset("attention.css"),
        drawing=asset("attention.js"),
        totals=_totals(evaluation),
        sections="\n".join(sections),
        attention=json.dumps(attention, separators=(",", ":")).replace("<", "\\u003c"),
    )
    write_text(path, page)


def choose(evaluation, seed=1):
    """Chooses the images to show.

    The best and the worst are those by the first score of CIDEr-D, SPICE, … that was computed.

    Args:
        evaluation: an `Evaluation`.
        seed: of the choice of random others.
    Returns:
        A list of (heading, image ids), without kinds that have no images.
    """
    name = next(name for name in QUALITY if name in evaluation.scores)
    scores = evaluation.each()[name]
    order = sorted(scores, key=lambda image: (-scores[image], image))  # the best first
    count = min(EACH, -(-len(order) // 3))
    best = order[:count]
    worst = order[count:][::-1][:count]
    others = order[count : max(count, len(order) - count)]
    picked = np.random.default_rng(seed).permutation(len(others))[:count]
    kinds = [
        (f"The best by {ROWS[name]}", best),
        (f"The worst by {ROWS[name]}", worst),
        ("Random others", [others[place] for place in picked]),
    ]
    return [(heading, images) for heading, images in kinds if images]


def stored_pictures(data, split):
    """`write_gallery`'s argument `pictures`, for a data set that holds its pictures.

    Args:
        data: a `PreparedData`.
        split: the split's name.
    """

    def pictures(images):
        found = {}
        for record in read_records(data, split):
            if record.source_id in images:
                encoder = data.manifest["encoder"]
                found[record.source_id] = shown_picture(record.encoded, encoder)
        return found

    return pictures


def _totals(evaluation):
    rows = []
    for name in _SCORES:
        if name in evaluation.scores:
            numbers = (evaluation.values[name], *evaluation.intervals[name])
            value, *ends = formatted(name, numbers)
            label = html.escape(ROWS[name])
            interval = " – ".join(ends)
            rows.append(
                _TOTAL.format(title=_title(name), label=label, value=value, interval=interval)
            )
    return f"<dl class=totals>{''.join(rows)}</dl>"


def _title(name):
    """The HTML attribute that explains a score where the pointer rests on its label."""
    return f' title="{html.escape(_EXPLAINED[name])}"' if name in _EXPLAINED else ""


def _scores_of(image, scores):
    """{name: the image's score}, of {name: {image: score}}, where there is something to judge."""
    known = {}
    for name in _SCORES:
        if name in scores and not math.isnan(scores[name][image]):
            known[name] = scores[name][image]
    return known


def _card(captioned, references, scores, picture):
    words = []
    for place, word in enumerate(captioned.words):
        tabindex = -1 if place else 0  # arrow keys reach the others
        words.append(_WORD.format(tabindex=tabindex, word=html.escape(word)))
    rows = []
    for name, number in scores.items():
        [value] = formatted(name, (number,))
        rows.append(_SCORE.format(title=_title(name), label=_SCORES[name], value=value))
    return _CARD.format(
        caption=html.escape(captioned.caption),
        picture=embedded_jpeg(picture, _PIXELS),
        words=" ".join(words),
        references="".join(f"<li>{html.escape(text)}</li>" for text in references),
        scores="".join(rows),
        name=html.escape(captioned.source_id),
    )


def embedded_jpeg(picture, pixels):
    """The attributes of an <img> that holds a picture.

    Args:
        picture: uint8 [H, W, 3].
        pixels: its longer side, if it is larger.
    """
    image = Image.fromarray(picture)
    image.thumbnail((pixels, pixels))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    data = base64.b64encode(file.getvalue()).decode()
    return f'width={image.width} height={image.height} src="data:image/jpeg;base64,{data}"'
