"""Captions of a scene, and the noun phrases in them.

In a template, A and B are the two main objects in either order. C is a tiny object, and D a main
one in clear relation to it. "the-A" has the definite article. "A-B" is the relation of A to B, and
"B-it" that of B to A. All other words are written as they are.
"""

import itertools
from typing import NamedTuple

from keras_sat.data.record import Phrase
from keras_sat.data.scene_layout import relation

_MAIN = (
    "A is A-B B",
    "the-A is A-B the-B",
    "A sits A-B B",
    "there is A A-B B",
    "A with B B-it",
    "A and B B-it",
    "the picture shows A A-B B",
    "A-B B there is A",
    "A-B B is A",
)
_BACKGROUND = (
    "A and B on BACKGROUND",
    "A is A-B B on BACKGROUND",
    "on BACKGROUND there is A A-B B",
    "a drawing of A A-B B on BACKGROUND",
)
_TINY = (
    "C is C-D D",
    "there is C C-D D",
    "A A-B B and C C-D the-D",
    "A and B with C C-D the-D",
)
_RELATIONS = {
    "left": ("to the left of", "to the left of", "left of", "beside"),
    "right": ("to the right of", "to the right of", "right of", "next to"),
    "above": ("above", "above", "over"),
    "below": ("below", "under", "beneath"),
}
_RELATIONS_TO_IT = {
    "left": ("to its left", "on its left"),
    "right": ("to its right", "on its right"),
    "above": ("above it",),
    "below": ("below it", "under it"),
}
_SIZE_WORDS = {"large": ("large", "big"), "small": ("small", "little"), "tiny": ("tiny",)}
_TEXTURE_WORDS = {
    "striped": ("striped", "with stripes"),
    "spotted": ("spotted", "dotted", "with spots", "with dots"),
    "checkered": ("checkered", "with checks"),
}
_VERBS = ("is", "sits")
_LENGTHS = range(6, 19)  # words


class _Span(NamedTuple):
    """A noun phrase in a caption's words, `end` exclusive, and the object that it names."""

    start: int
    end: int
    object: object


def describe(rng, objects, background):
    """Five different captions in random order.

    Args:
        rng: a `random.Random`.
        objects: the scene's objects; the first two are the main ones, the others are tiny.
        background: (colour, pattern).
    Returns:
        The captions and their `Phrase`s, two tuples.
    """
    first, second, tiny = objects[:3]
    near_tiny = [main for main in (first, second) if relation(tiny.box, main.box)]
    templates = rng.sample(_MAIN, 3)
    templates.append(rng.choice(_BACKGROUND))
    templates.append(rng.choice(_TINY))
    rng.shuffle(templates)
    captions = []
    phrases = []
    for number, template in enumerate(templates):
        a, b = rng.sample((first, second), 2)
        roles = {"A": a, "B": b, "C": tiny, "D": rng.choice(near_tiny)}
        words, spans = _fill(rng, template, roles, background)
        while len(words) not in _LENGTHS or " ".join(words) in captions:
            words, spans = _fill(rng, template, roles, background)
        captions.append(" ".join(words))
        for span in spans:
            named = span.object
            phrases.append(Phrase(number, span.start, span.end, named.shape, named.box))
    return tuple(captions), tuple(phrases)


def _fill(rng, template, roles, background):
    """The words of one caption, and the `_Span`s of its noun phrases."""
    words = []
    spans = []
    tokens = template.split()
    for token, following in itertools.zip_longest(tokens, tokens[1:]):
        left, _, right = token.partition("-")
        if token == "BACKGROUND":
            words += _background_words(rng, *background)
        elif right == "it":
            where = relation(roles[left].box, roles["A"].box)
            words += rng.choice(_RELATIONS_TO_IT[str(where)]).split()
        elif left in roles and right in roles:
            where = relation(roles[left].box, roles[right].box)
            words += rng.choice(_RELATIONS[str(where)]).split()
        elif right in roles or token in roles:
            named = roles[right or left]
            # "a circle with stripes above a star" could be read as stripes above a star.
            may_trail = following in (None, *_VERBS)
            before, after = _attributes(rng, named, may_trail)
            article = "the" if right else _article(before[0])
            spans.append(_Span(len(words), len(words) + len(before) + 2, named))
            words += [article, *before, named.shape, *after]
        else:
            words.append(token)
    return words, spans


def _attributes(rng, named, may_trail):
    """The words before and after an object's noun: always its colour, often its size and texture.

    Args:
        rng: a `random.Random`.
        named: the object.
        may_trail: whether words such as "with stripes" may come after the noun.
    """
    before = [named.colour]
    after = []
    if named.texture != "plain" and rng.random() < 0.75:
        known = _TEXTURE_WORDS[named.texture]
        text = rng.choice([each for each in known if may_trail or " " not in each])
        if " " in text:
            after = text.split()
        else:
            before.insert(rng.randrange(2), text)
    if rng.random() < 0.7:
        before.insert(0, rng.choice(_SIZE_WORDS[named.size]))
    return before, after


def _background_words(rng, colour, pattern):
    plain = rng.choice(("", "plain"))  # drawn for every pattern: what comes later depends on it
    shade = {"plain": plain, "gradient": "shaded", "grid": ""}[pattern]
    noun = "grid" if pattern == "grid" else "background"
    words = [*shade.split(), *colour.split(), noun]
    return [_article(words[0]), *words]


def _article(word):
    return "an" if word[0] in "aeiou" else "a"
