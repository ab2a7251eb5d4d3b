"""The built-in data set: pictures of coloured shapes in relation, with captions and exact boxes.

A picture depends on the seed and its id alone, so that any worker can draw any part of the data
set in any order. Two *main* objects are the subject of most captions. Shapes and colours differ
within a picture, and the splits hold different pairs of (colour, shape): a captioner has to bind
each attribute to its shape, and cannot recall pairs.

What is drawn depends on the order in which random numbers are drawn, here and in `scene_drawing`,
`scene_layout` and `scene_captions`.
"""

import hashlib
import io
import itertools
import random
from dataclasses import dataclass

from keras_sat.data.scene_captions import describe
from keras_sat.data.scene_drawing import (
    BACKGROUNDS,
    COLOURS,
    PATTERNS,
    SHAPES,
    SIZE,
    SIZES,
    TEXTURES,
    backdrop,
    draw_object,
)
from keras_sat.data.scene_layout import arrange, to_box

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "PATTERNS",
    "SHAPES",
    "SIZE",
    "SIZES",
    "SPLITS",
    "TEXTURES",
    "VERSION",
    "Object",
    "Scene",
    "backdrop",
    "draw",
    "scene_id",
    "split_of",
]

# Names what is drawn, in the fingerprints of data sets: change it with the pictures or captions.
VERSION = "ec3d25c8118cd2a9"

SPLITS = ("train", "val", "test")


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
    """A picture (PNG bytes, RGB 128×128), five captions, and the box of every noun phrase in them.

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
    """Draws a scene.

    Args:
        scene_id: an id such as "train-000123", which starts with its split.
        seed: an integer.
    Returns:
        A `Scene`.
    Raises:
        ValueError: the id does not start with a split.
    """
    rng = random.Random(f"{seed}/{scene_id}")  # SHA-512 of the string: equal in every process
    split = scene_id.partition("-")[0]
    if split not in SPLITS:
        raise ValueError(f"scene id {scene_id!r} does not start with one of {', '.join(SPLITS)}")
    kinds = _choose_kinds(rng, split)
    drawn = [draw_object(rng, *kind) for kind in kinds]
    corners = arrange(rng, [each.size for each in drawn])
    colour = rng.choice(list(BACKGROUNDS))
    pattern = rng.choice(PATTERNS)
    picture = backdrop(colour, pattern)
    objects = []
    for kind, each, corner in zip(kinds, drawn, corners):
        picture.paste(each, corner, each)
        objects.append(Object(*kind, box=to_box(corner, each.size)))
    background = (colour, pattern)
    captions, phrases = describe(rng, objects, background)
    png = io.BytesIO()
    picture.save(png, "PNG", compress_level=3)
    return Scene(scene_id, split, png.getvalue(), captions, phrases, tuple(objects), background)


def split_of(main):
    """The split of a pair of (colour, shape): about 80 % train, 10 % val, 10 % test."""
    text = " ".join(itertools.chain(*sorted(main)))  # sorted: the pair has no order
    tenth = hashlib.sha256(text.encode()).digest()[0] * 10 // 256
    return {8: "val", 9: "test"}.get(tenth, "train")


def _choose_kinds(rng, split):
    """(shape, colour, texture, size) of the two main objects and of three or four tiny ones.

    The tiny objects have the main ones' colours: which colours are in the picture does not say
    which shape has which.
    """
    tiny = rng.choice((3, 4))
    while True:
        shapes = rng.sample(list(SHAPES), 2 + tiny)
        main_colours = rng.sample(list(COLOURS), 2)
        if split_of(zip(main_colours, shapes)) == split:
            break
    colours = main_colours + rng.choices(main_colours, k=tiny)
    textures = rng.sample(TEXTURES, 2) + ["plain"] * tiny  # none would be seen on a tiny object
    sizes = rng.sample(("large", "small") * 2, 2) + ["tiny"] * tiny
    return list(zip(shapes, colours, textures, sizes))
