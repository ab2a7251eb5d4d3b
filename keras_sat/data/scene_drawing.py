"""Draws the parts of a scene: shapes of a colour, texture and size, and backgrounds.

Contours are closed polygons in the complex plane, whose imaginary axis points down.
"""

import cmath
import functools
import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw

SIZE = 128  # pixels, height and width of a picture

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
_FAINTEST = 32  # a fainter pixel could round to the background's colour


def _regular(corners, radii=(1,), turn=-0.25):
    """Points at equal angles around the origin.

    Args:
        corners: how many.
        radii: the distances from the origin, used in rotation.
        turn: the first point's angle, in full turns.
    """
    points = []
    for k in range(corners):
        angle = 2 * math.pi * (k / corners + turn)
        points.append(cmath.rect(radii[k % len(radii)], angle))
    return points


def _heart():
    points = []
    for k in range(60):
        t = 2 * math.pi * k / 60
        x = 16 * math.sin(t) ** 3
        y = 5 * math.cos(2 * t) + 2 * math.cos(3 * t) + math.cos(4 * t) - 13 * math.cos(t)
        points.append(complex(x, y))
    return points


def _cross(arm=0.36):
    corner = [complex(arm, -1), complex(arm, -arm), complex(1, -arm)]
    points = []
    for quarter in range(4):
        points += [point * 1j**quarter for point in corner]
    return points


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


def draw_object(rng, shape, colour, texture, size):
    """The object alone, RGBA, cropped to the pixels that it changes."""
    turn = rng.uniform(-8, 8)
    longer_side = rng.uniform(*SIZES[size])
    contours = _fit(SHAPES[shape], turn, longer_side)
    side = (SIZES[size][1] + 2) * _SCALE
    mask = Image.new("L", (side, side))
    for contour, fill in zip(contours, (255, 0)):
        ImageDraw.Draw(mask).polygon(contour, fill)
    ink = Image.new("L", mask.size, 255)  # 255: the full colour, 0: the texture's pale marks
    if texture != "plain":
        _texturise(rng, ink, mask, contours, texture)
    # Without faint pixels the box is exact.
    alpha = mask.reduce(_SCALE).point([value if value >= _FAINTEST else 0 for value in range(256)])
    full = COLOURS[colour]
    pale = tuple(round(0.12 * channel + 0.88 * 255) for channel in full)
    picture = Image.new("RGB", alpha.size, pale)
    picture.paste(full, mask=ink.reduce(_SCALE))
    picture.putalpha(alpha)
    return picture.crop(alpha.getbbox())


def _fit(contours, turn, longer_side):
    """Turns and scales contours to lie one pixel away from the corner of their enlarged picture.

    Args:
        contours: lists of complex points, the outer one first.
        turn: degrees.
        longer_side: pixels of the final picture.
    Returns:
        A list of (x, y) for each contour, in pixels of the enlarged picture.
    """
    rotation = cmath.rect(1, math.radians(turn))
    turned = []
    for contour in contours:
        turned.append([point * rotation for point in contour])
    xs = [point.real for point in turned[0]]
    ys = [point.imag for point in turned[0]]
    left = min(xs)
    top = min(ys)
    scale = longer_side / max(max(xs) - left, max(ys) - top)
    fitted = []
    for contour in turned:
        points = []
        for point in contour:
            x = _SCALE * (scale * (point.real - left) + 1)
            y = _SCALE * (scale * (point.imag - top) + 1)
            points.append((x, y))
        fitted.append(points)
    return fitted


def _texturise(rng, ink, mask, contours, texture):
    """Draws a texture's marks into `ink`, at a random offset, inside the object's mask."""
    side = ink.width
    x = rng.randrange(side)
    y = rng.randrange(side)
    marks = _marks(texture, 2 * side).crop((x, y, x + side, y + side))
    ink.paste(0, mask=ImageChops.multiply(mask, marks))
    for contour in contours:  # a rim of the full colour keeps the shape readable
        closed = [*contour, *contour[:2]]
        ImageDraw.Draw(ink).line(closed, 255, width=3 * _SCALE, joint="curve")


@functools.cache
def _marks(texture, side):
    """A square of a texture's marks: 255 where the colour is pale."""
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
