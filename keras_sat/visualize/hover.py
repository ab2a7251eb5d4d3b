"""A caption for notebooks: point at a word to see where the captioner looked.

It is HTML and CSS alone, since many viewers of notebooks run no scripts.
"""

import base64
import html
import io

import numpy as np
from PIL import Image

from keras_sat.visualize.attention import notes
from keras_sat.visualize.heat import attention_maps, coloured, dimmed, relative, top_of_scale

_PICTURE_PIXELS = 400  # the longer side
_MAP_PIXELS = 96  # the longer side; the browser enlarges it smoothly

_STYLE = """
.sat-answer { position: relative; max-width: 400px; font: 16px/1.6 system-ui, sans-serif; }
.sat-answer img { display: block; width: 100%; height: auto; margin: 0; max-width: none; }
.sat-answer .word { padding: 1px 3px; border-bottom: 2px dotted #b3477d; cursor: pointer; }
.sat-answer .word:hover, .sat-answer .word:focus { background: #f6d8e6; color: #000; outline: 0; }
.sat-answer .word img { display: none; position: absolute; top: 0; left: 0; pointer-events: none; }
.sat-answer .word:hover img, .sat-answer .word:focus img { display: block; }
"""
_WORD = '<span class="word" tabindex="0" title="{note}">{word}<img alt="" src="{map}"></span>'


def attention_html(picture, words, attention, boxes, facts=None):
    """The picture over its caption, as HTML.

    One scale of colours holds for all words, as in `attention_overlay`.

    Args:
        picture: uint8 [H, W, 3].
        words: T strings.
        attention: [T, L].
        boxes: [L, 4], as fractions of the picture's sides.
        facts: {name: T numbers}, see `attention_overlay`.
    """
    facts = facts or {}
    shape = picture.shape[:2]
    scale = _MAP_PIXELS / max(shape)
    size = [max(1, round(side * scale)) for side in shape]
    maps = relative(attention_maps(dimmed(attention, facts), boxes, size))
    colours = coloured(maps, top_of_scale(maps))
    spans = []
    for word, note, each in zip(words, notes(facts, len(words)), colours):
        fields = {"word": html.escape(word), "note": html.escape(note), "map": _png(each)}
        spans.append(_WORD.format(**fields))
    shown = Image.fromarray(picture)
    shown.thumbnail((_PICTURE_PIXELS, _PICTURE_PIXELS))
    caption = html.escape(" ".join(words))
    return (
        f"<style>{_STYLE}</style>"
        f'<div class="sat-answer"><img alt="{caption}" src="{_png(np.asarray(shown))}">'
        f"<div>{' '.join(spans)}</div></div>"
    )


def _png(pixels):
    """The data URL of uint8 [H, W, 3 or 4]."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
