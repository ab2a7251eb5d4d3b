"""Pictures as cameras, browsers and attackers write them."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.support.corpora import picture


def encoded(mode, format, seed=100, **options):
    """A picture in one of Pillow's modes."""
    file = io.BytesIO()
    image = Image.open(io.BytesIO(picture(seed, format="PNG")))
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.convert(mode).save(file, format, **options)
    return file.getvalue()


def turned(seed, orientation):
    """A JPEG that EXIF turns."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return picture(seed, exif=tags, quality=95)


def sixteen_bits(seed):
    file = io.BytesIO()
    grey = np.kron(np.random.default_rng(seed).integers(0, 65536, [4, 4]), np.ones([8, 8])).astype(
        np.uint16
    )
    Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()


def animation(seed):
    file = io.BytesIO()
    first, *others = (
        Image.open(io.BytesIO(picture(seed + 50 * n, format="PNG"))) for n in range(3)
    )
    first.save(file, "GIF", save_all=True, append_images=others)
    return file.getvalue()


ODD = {
    "cmyk.jpg": encoded("CMYK", "JPEG", quality=95),
    "sixteen.png": sixteen_bits(101),
    "animated.gif": animation(102),
    **{f"turned{orientation}.jpg": turned(103, orientation) for orientation in (3, 6, 8)},
}
# The pictures that are decoded.
TAKEN = ODD | {
    "colour.jpg": encoded("RGB", "JPEG", quality=95),
    "progressive.jpg": encoded("RGB", "JPEG", quality=95, progressive=True),
    "grey.jpg": encoded("L", "JPEG", quality=95),
    "grey.png": encoded("L", "PNG"),
    "colours.png": encoded("P", "PNG"),
    "alpha.png": encoded("RGBA", "PNG"),
    "colours.gif": encoded("P", "GIF"),
    "colour.bmp": encoded("RGB", "BMP"),
    "grey.bmp": encoded("L", "BMP"),
    "colours.bmp": encoded("P", "BMP"),
    "alpha.bmp": encoded("RGBA", "BMP"),
}


def huge_png(height, width, texts=0):
    """A black PNG in some kilobytes, with compressed texts of 1 MB each."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    squeeze = zlib.compressobj(9)
    rows = (
        b"".join(squeeze.compress(bytes(1 + -(-width // 8))) for _ in range(height))
        + squeeze.flush()
    )
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    text = chunk(b"zTXt", b"text\0\0" + zlib.compress(bytes(1 << 20), 9))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + texts * text
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


def many_frames(side, frames):
    """A black GIF of equal frames."""
    file = io.BytesIO()
    Image.new("P", (side, side)).save(file, "GIF")
    start = file.getvalue().index(b"\x2c\0\0\0\0")
    return file.getvalue()[:start] + frames * file.getvalue()[start:-1] + b";"


def many_scans(side, scans):
    """A black progressive JPEG whose last scan is repeated."""
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "JPEG", progressive=True)
    body = file.getvalue()[:-2]
    end = file.getvalue()[-2:]
    return body + scans * body[body.rindex(b"\xff\xda") :] + end
