"""The built-in data set: drawn pictures of coloured shapes in relation, with five captions and exact boxes.

A picture depends on the seed and its id alone, so that any worker can draw any part of the data set in any
order. Two *main* objects are the subject of most captions. Shapes and colours differ within a picture and the
splits hold different pairs of (colour, shape): a captioner has to bind each attribute to its shape, and
cannot recall pairs.
"""

import cmath
import functools
import hashlib
import io
import itertools
import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from keras_sat.data.record import Phrase

# Names what is drawn, in the fingerprints of data sets: change it with the pictures or captions.
VERSION = "ec3d25c8118cd2a9"

SIZE = 128  # pixels, height and width of a picture
SPLITS = ("train", "val", "test")

COLOURS = {
    "red": (214, 40, 57),
    "orange": (246, 133, 31),
    "yellow": (247, 203, 21),
    "green": (42, 157, 87),
    "blue": (36, 99, 214),
    "purple": (124, 58, 173),
    "pink": (243, 116, 178),
    "black": (43, 45, 52),
}
SIZES = {"large": (46, 52), "small": (33, 36), "tiny": (19, 22)}  # pixels, the longer side's range
TEXTURES = ("plain", "striped", "spotted", "checkered")
BACKGROUNDS = {
    "white": (252, 252, 250),
    "grey": (221, 223, 227),
    "cream": (250, 240, 220),
    "lilac": (231, 224, 243),
    "pale blue": (216, 232, 246),
    "pale green": (220, 239, 222),
    "pale pink": (251, 228, 232),
}
PATTERNS = ("plain", "gradient", "grid")

_SCALE = 4  # objects are drawn this much larger and averaged down, for smooth edges
_MARGIN = 4  # pixels left free around every object


@dataclass(frozen=True)
class Object:
    """A drawn shape. `box` is (ymin, xmin, ymax, xmax), each a fraction of the picture's side."""

    shape: str
    colour: str
    texture: str
    size: str
    box: tuple


@dataclass(frozen=True)
class Scene:
    """A picture (PNG bytes, RGB 128x128), five captions, and the box of every noun phrase in them.

    `objects` starts with the two main objects; `background` is (colour, pattern).
    """

    id: str
    split: str
    image: bytes
    captions: tuple
    phrases: tuple
    objects: tuple
    background: tuple

    @property
    def main(self):
        """The pair of (colour, shape) that decides the split."""
        return frozenset((each.colour, each.shape) for each in self.objects[:2])


def scene_id(split, number):
    """The id of a split's scene, such as "train-000123"."""
    return f"{split}-{number:06d}"


def draw(scene_id, seed):
    """The `Scene` of an id such as "train-000123": its first word is the split."""
    rng = random.Random(
        f"{seed}/{scene_id}"
    )  # a string is hashed by SHA-512, alike in every process
    split = scene_id.partition("-")[0]
    if split not in SPLITS:
        raise ValueError(f"scene id {scene_id!r} does not start with one of {', '.join(SPLITS)}")
    kinds = _choose_kinds(rng, split)
    tiles = [_draw_tile(rng, *kind) for kind in kinds]
    corners = _arrange(rng, [tile.size for tile in tiles])
    background = rng.choice(list(BACKGROUNDS)), rng.choice(PATTERNS)
    picture = backdrop(*background)
    objects = []
    for kind, tile, (left, top) in zip(kinds, tiles, corners):
        picture.paste(tile, (left, top), tile)
        objects.append(Object(*kind, box=_box(left, top, *tile.size)))
    captions, phrases = _describe(rng, objects, background)
    png = io.BytesIO()
    picture.save(png, "PNG", compress_level=3)
    return Scene(scene_id, split, png.getvalue(), captions, phrases, tuple(objects), background)


def split_of(main):
    """The split that a pair of (colour, shape) belongs to: about 80 % train, 10 % val, 10 % test."""
    text = " ".join(itertools.chain(*sorted(main)))  # sorted: the pair has no order
    tenth = hashlib.sha256(text.encode()).digest()[0] * 10 // 256
    return {8: "val", 9: "test"}.get(tenth, "train")


def _choose_kinds(rng, split):
    """(shape, colour, texture, size) of the two main objects and of three or four tiny ones.

    The tiny ones wear the main ones' colours: which colours are in the picture does not tell which shape has which.
    """
    tiny = rng.choice((3, 4))
    while True:
        shapes, main_colours = rng.sample(list(SHAPES), 2 + tiny), rng.sample(list(COLOURS), 2)
        if split_of(zip(main_colours, shapes)) == split:
            break
    colours = main_colours + rng.choices(main_colours, k=tiny)
    textures = (
        rng.sample(TEXTURES, 2) + ["plain"] * tiny
    )  # a texture would not be seen on a tiny object
    sizes = rng.sample(("large", "small") * 2, 2) + ["tiny"] * tiny
    return list(zip(shapes, colours, textures, sizes))


# ---- Drawing. Contours are closed polygons in the complex plane, the imaginary axis pointing down.


def _regular(corners, radii=(1,), turn=-0.25):
    """Points evenly round the origin, radii used in rotation; `turn` is the first's angle in full turns."""
    return [
        cmath.rect(radii[k % len(radii)], 2 * math.pi * (k / corners + turn))
        for k in range(corners)
    ]


def _heart():
    angles = [2 * math.pi * k / 60 for k in range(60)]
    return [
        complex(
            16 * math.sin(t) ** 3,
            5 * math.cos(2 * t) + 2 * math.cos(3 * t) + math.cos(4 * t) - 13 * math.cos(t),
        )
        for t in angles
    ]


def _cross(arm=0.36):
    corner = [complex(arm, -1), complex(arm, -arm), complex(1, -arm)]
    return [point * 1j**quarter for quarter in range(4) for point in corner]


SHAPES = {  # the outer contour, then a hole
    "circle": [_regular(64)],
    "square": [_regular(4, turn=0.125)],
    "triangle": [_regular(3)],
    "star": [_regular(10, radii=(1, 0.45))],
    "heart": [_heart()],
    "cross": [_cross()],
    "diamond": [_regular(4, radii=(1, 0.66))],
    "ring": [_regular(64), _regular(64, radii=(0.46,))],
}


def _draw_tile(rng, shape, colour, texture, size):
    """The object alone, RGBA, cropped to the pixels that it changes."""
    contours = _fit(SHAPES[shape], turn=rng.uniform(-8, 8), side=rng.uniform(*SIZES[size]))
    side = (SIZES[size][1] + 2) * _SCALE
    mask = Image.new("L", (side, side))
    for contour, fill in zip(contours, (255, 0)):
        ImageDraw.Draw(mask).polygon(contour, fill)
    ink = Image.new(
        "L", mask.size, 255
    )  # 255 for the full colour, 0 for the texture's washed-out marks
    if texture != "plain":
        x, y = rng.randrange(side), rng.randrange(side)
        marks = _marks(texture, 2 * side).crop((x, y, x + side, y + side))
        ink.paste(0, mask=ImageChops.multiply(mask, marks))
        for contour in contours:  # a rim keeps the shape readable
            ImageDraw.Draw(ink).line([*contour, *contour[:2]], 255, width=3 * _SCALE, joint="curve")
    # A fainter pixel could round to the background's colour, and the box would no longer be exact.
    alpha = mask.reduce(_SCALE).point(lambda value: value if value >= 32 else 0)
    full = COLOURS[colour]
    washed = tuple(round(0.12 * channel + 0.88 * 255) for channel in full)
    tile = Image.new("RGB", alpha.size, washed)
    tile.paste(full, mask=ink.reduce(_SCALE))
    tile.putalpha(alpha)
    return tile.crop(alpha.getbbox())


def _fit(contours, turn, side):
    """The contours turned (degrees), scaled to `side` pixels, a pixel off their enlarged tile's corner."""
    turned = [
        [point * cmath.rect(1, math.radians(turn)) for point in contour] for contour in contours
    ]
    xs, ys = [p.real for p in turned[0]], [p.imag for p in turned[0]]
    scale = side / max(max(xs) - min(xs), max(ys) - min(ys))
    x, y = min(xs), min(ys)
    return [
        [
            (_SCALE * (scale * (p.real - x) + 1), _SCALE * (scale * (p.imag - y) + 1))
            for p in contour
        ]
        for contour in turned
    ]


@functools.cache
def _marks(texture, side):
    """A square of a texture's marks: 255 where the colour is washed out."""
    y, x = np.mgrid[:side, :side] / _SCALE  # pixels of the picture
    if texture == "striped":
        marks = (x + y) % 9 < 4
    elif texture == "spotted":
        row = y // 7
        marks = np.hypot((x + 3.5 * row) % 7 - 3.5, y % 7 - 3.5) < 2.1
    else:
        marks = (x // 4 + y // 4) % 2 == 0
    return Image.fromarray(np.uint8(marks) * 255)


def backdrop(colour, pattern):
    """The background without its objects, an RGB image that the caller may draw on."""
    image = Image.new("RGB", (SIZE, SIZE), BACKGROUNDS[colour])
    darker = tuple(round(0.9 * channel) for channel in BACKGROUNDS[colour])
    if pattern == "gradient":
        image.paste(darker, mask=Image.linear_gradient("L").resize(image.size))
    elif pattern == "grid":
        pen = ImageDraw.Draw(image)
        for at in range(8, SIZE, 16):
            pen.line((at, 0, at, SIZE), darker)
            pen.line((0, at, SIZE, at), darker)
    return image


# ---- Layout


def _arrange(rng, sizes):
    """Top left corners (x, y) in pixels: no two objects touch; the main two, and the third and one of them,
    are clearly in relation."""
    corners, boxes = [], []
    while len(corners) < len(sizes):
        size = sizes[len(corners)]
        corner = tuple(rng.randint(_MARGIN, SIZE - _MARGIN - side) for side in size)
        box = _box(*corner, *size)
        related = len(boxes) not in (1, 2) or any(relation(box, main) for main in boxes[:2])
        if related and all(max(_gaps(box, other)) >= 0 for other in boxes):
            corners.append(corner)
            boxes.append(box)
        elif rng.random() < 0.02:  # there may be no room left
            corners, boxes = [], []
    return corners


def _box(left, top, width, height):
    return top / SIZE, left / SIZE, (top + height) / SIZE, (left + width) / SIZE


def _gaps(a, b):
    """The free space between two boxes along y and along x, less the margin; negative where they overlap."""
    return [
        max(a[axis], b[axis]) - min(a[axis + 2], b[axis + 2]) - _MARGIN / SIZE for axis in (0, 1)
    ]


def relation(a, b):
    """Where box `a` lies seen from box `b`: "left", "right", "above", "below"; None where debatable."""
    dy, dx = (a[axis] + a[axis + 2] - b[axis] - b[axis + 2] for axis in (0, 1))
    gap_y, gap_x = _gaps(a, b)
    if gap_x >= 0 and abs(dx) >= 2 * abs(dy):
        return "left" if dx < 0 else "right"
    if gap_y >= 0 and abs(dy) >= 2 * abs(dx):
        return "above" if dy < 0 else "below"
    return None


# ---- Captions. In a template, A and B are the main objects in either order, C is a tiny one and D a main one
# in clear relation to it; the-A has the definite article; A-B is the relation of A to B, B-it that of B to A.

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


def _describe(rng, objects, background):
    """Five different captions in random order, and their noun phrases."""
    first, second, tiny = objects[:3]
    near_tiny = [each for each in (first, second) if relation(tiny.box, each.box)]
    templates = rng.sample(_MAIN, 3) + [rng.choice(_BACKGROUND), rng.choice(_TINY)]
    rng.shuffle(templates)
    captions, phrases = [], []
    for number, template in enumerate(templates):
        a, b = rng.sample((first, second), 2)
        roles = {"A": a, "B": b, "C": tiny, "D": rng.choice(near_tiny)}
        words, spans = _fill(rng, template, roles, background)
        while len(words) not in _LENGTHS or " ".join(words) in captions:
            words, spans = _fill(rng, template, roles, background)
        captions.append(" ".join(words))
        phrases += [Phrase(number, start, end, each.shape, each.box) for start, end, each in spans]
    return tuple(captions), tuple(phrases)


def _fill(rng, template, roles, background):
    """The words of one caption, and (start, end, object) of its noun phrases."""
    words, spans = [], []
    tokens = template.split()
    for token, following in itertools.zip_longest(tokens, tokens[1:]):
        left, _, right = token.partition("-")
        if token == "BACKGROUND":
            words += _background_words(rng, *background)
        elif right == "it":
            words += rng.choice(_RELATIONS_TO_IT[relation(roles[left].box, roles["A"].box)]).split()
        elif left in roles and right in roles:
            words += rng.choice(_RELATIONS[relation(roles[left].box, roles[right].box)]).split()
        elif right in roles or token in roles:
            each = roles[right or left]
            # "a circle with stripes above a star" could be read as stripes above a star
            before, after = _attributes(rng, each, may_trail=following in (None, *_VERBS))
            article = "the" if right else _article(before[0])
            spans.append((len(words), len(words) + len(before) + 2, each))
            words += [article, *before, each.shape, *after]
        else:
            words.append(token)
    return words, spans


def _attributes(rng, each, may_trail):
    """The words before and after the noun: always the colour, mostly the size and the texture."""
    before, after = [each.colour], []
    if each.texture != "plain" and rng.random() < 0.75:
        word = rng.choice([w for w in _TEXTURE_WORDS[each.texture] if may_trail or " " not in w])
        if " " in word:
            after = word.split()
        else:
            before.insert(rng.randrange(2), word)
    if rng.random() < 0.7:
        before.insert(0, rng.choice(_SIZE_WORDS[each.size]))
    return before, after


def _background_words(rng, colour, pattern):
    noun = "grid" if pattern == "grid" else "background"
    shade = {"plain": rng.choice(("", "plain")), "gradient": "shaded", "grid": ""}[pattern]
    words = [*shade.split(), *colour.split(), noun]
    return [_article(words[0]), *words]


def _article(word):
    return "an" if word[0] in "aeiou" else "a"
