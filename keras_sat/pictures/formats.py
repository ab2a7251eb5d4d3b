"""The formats of pictures, told apart by their first bytes, and made ready for the graph's decoder.

JPEG, PNG, GIF and BMP go to TensorFlow's decoder as they are. Pillow reads the others, and they are
re-encoded as PNG, which loses nothing that the decoder would keep. It imports no TensorFlow.
"""

import io

import numpy as np
from PIL import Image, ImageOps, features

from keras_sat.utils import extras
from keras_sat.utils.errors import UserError

DECODED = ("JPEG", "PNG", "GIF", "BMP")  # by TensorFlow, in the graph
CONVERTED = ("WebP", "TIFF", "AVIF", "HEIC")  # by Pillow, beforehand
MAGIC = (  # format, offset in the file, bytes there
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("GIF", 0, b"GIF8"),
    ("BMP", 0, b"BM"),
    ("WebP", 8, b"WEBP"),
    ("HEIC", 4, b"ftyphei"),
    ("HEIC", 4, b"ftyphev"),
    ("HEIC", 4, b"ftypmif1"),
    ("HEIC", 4, b"ftypmsf1"),
    ("AVIF", 4, b"ftypavi"),
    ("TIFF", 0, b"II*\0"),
    ("TIFF", 0, b"MM\0*"),
    ("TIFF", 0, b"II+\0"),
    ("TIFF", 0, b"MM\0+"),
)
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".gif", ".bmp"),
    *(".webp", ".tif", ".tiff", ".avif", ".heic", ".heif"),
)
MAX_PIXELS = 50_000_000  # of a picture that is decoded, unless the caller says otherwise
EMPTY = "empty file: 0 bytes"
UNDECODABLE = "not decodable: a damaged, cut off or unusual "  # the format follows

# Files of one family share their first bytes, so that HEIC's may turn out to hold an AVIF.
_PILLOW_NAMES = {
    "WebP": ["WEBP"],
    "TIFF": ["TIFF"],
    "AVIF": ["AVIF"],
    "HEIC": ["HEIF", "AVIF"],
}
_FASTEST = 1  # zlib's level


def enumerated(names):
    """`A, B or C`."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


def format_of(content):
    """The format of a file's bytes, such as `JPEG`; empty for an unknown one."""
    for name, offset, magic in MAGIC:
        if content[offset : offset + len(magic)] == magic:
            return name
    return ""


def decodable(content, max_pixels=MAX_PIXELS):
    """A picture in a format that the graph decodes.

    JPEG, PNG, GIF and BMP come back unchanged, and whether they are whole is for their decoder to
    find out. A WebP, TIFF, AVIF or HEIC becomes a PNG: its first frame, turned upright as its EXIF
    orientation asks, as 8-bit RGB. 16 bits per channel are cut to 8, CMYK is converted, and
    transparency is dropped, as the graph's decoder does with its own formats.

    Args:
        content: the bytes of a file.
        max_pixels: larger pictures are not decoded.

    Returns:
        The bytes of a JPEG, PNG, GIF or BMP.

    Raises:
        UserError: `reason: detail`, without the picture's name.
    """
    if not content:
        raise UserError(EMPTY)
    kind = format_of(content)
    if not kind:
        known = enumerated(DECODED + CONVERTED)
        raise UserError(f"not a picture: {len(content)} bytes that are no {known}")
    if kind in DECODED:
        return content
    if kind == "HEIC":
        extras.heif()
    elif kind in ("WebP", "AVIF") and not features.check(kind.lower()):
        raise UserError(f"not supported: {kind}, by this build of Pillow; convert it to PNG")
    try:
        image = Image.open(io.BytesIO(content), formats=_PILLOW_NAMES[kind])
        height_width = f"{image.height}x{image.width}"
        if image.height * image.width <= max_pixels:
            return to_png(image)
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"too many pixels: {error}") from error
    except Exception as error:  # damaged files raise whatever their decoder stumbles over
        raise UserError(f"{UNDECODABLE}{kind}") from error
    raise UserError(f"too many pixels: {height_width}, max_pixels is {max_pixels}")


def to_png(image):
    """The PNG bytes of a PIL image as `to_rgb` makes it."""
    file = io.BytesIO()
    to_rgb(image).save(file, "PNG", compress_level=_FASTEST)
    return file.getvalue()


def to_rgb(image):
    """A PIL image as 8-bit RGB, upright.

    Raises:
        UserError: its values are floating-point numbers, whose range nobody knows.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise UserError("not supported: floating-point pixels; convert them to 8 bits")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")
