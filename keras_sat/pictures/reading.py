"""Pictures by name: files, folders, patterns, URLs, standard input; and pictures in memory.

Every command and the Python interface read pictures with these functions. It imports no TensorFlow,
so that names can be checked before TensorFlow is loaded.
"""

import difflib
import glob
import os
import stat
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from keras_sat.pictures.download import SCHEMES, download
from keras_sat.pictures.formats import EMPTY, MAX_PIXELS, SUFFIXES, decodable, enumerated, to_png
from keras_sat.utils.errors import UserError

STDIN = "-"
MAX_BYTES = 256 << 20  # of a file, unless the caller says otherwise


def list_pictures(names):
    """The names of single pictures.

    Args:
        names: files, URLs and `-` stay as they are. A folder stands for the pictures in it, and a
            pattern such as `photos/**/*.jpg` for the files that match it, both sorted by name.

    Returns:
        A list of strings.

    Raises:
        UserError: a folder without pictures, or a pattern that nothing matches.
    """
    listed = []
    for name in map(str, names):
        path = Path(name)
        if name == STDIN or "://" in name:
            listed.append(name)
        elif path.is_dir():
            listed += _pictures_in(path)
        elif glob.has_magic(name) and not path.exists():
            listed += _matches(name)
        else:
            listed.append(name)
    return listed


def _pictures_in(folder):
    found = []
    for path in sorted(folder.iterdir()):
        is_hidden = path.name.startswith(".")  # such as macOS' companions of each picture
        if path.suffix.lower() in SUFFIXES and not is_hidden and path.is_file():
            found.append(str(path))
    if not found:
        raise UserError(
            f"{folder}: holds no pictures ({', '.join(SUFFIXES)}); "
            f"those in its folders are '{folder}/**/*.jpg'"
        )
    return found


def _matches(pattern):
    found = sorted(name for name in glob.glob(pattern, recursive=True) if Path(name).is_file())
    if not found:
        raise UserError(f"{pattern}: no file matches")
    return found


def unreadable(names):
    """What can be told of pictures without reading them.

    Args:
        names: see `list_pictures`.

    Returns:
        {name: a `UserError` that says why it cannot be read}, of these alone.
    """
    found = {}
    for name in names:
        reason = _fault(name)
        if reason:
            found[name] = UserError(f"{name}: {reason}")
    return found


def _fault(name):
    scheme, separator, rest = name.partition("://")
    if separator:
        known = scheme.lower() in SCHEMES and rest
        return "" if known else f"not a URL of {enumerated(SCHEMES)}"
    if name == STDIN:
        return ""
    try:
        status = os.stat(name)
    except FileNotFoundError as error:
        return f"{error.strerror}{_similar(Path(name))}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    if stat.S_ISDIR(status.st_mode):
        return "a folder, not a picture"
    if not os.access(name, os.R_OK):
        return "Permission denied"
    return EMPTY if stat.S_ISREG(status.st_mode) and not status.st_size else ""


def _similar(path):
    """The end of a message about a file that does not exist."""
    if not path.parent.is_dir():
        return ""
    names = [other.name for other in path.parent.iterdir()]
    found = difflib.get_close_matches(path.name, names, n=1, cutoff=0.7)
    return f"; did you mean {path.with_name(found[0])}?" if found else ""


def read_picture(name, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS):
    """The bytes of one picture, in a format that the graph decodes.

    Args:
        name: a file, a URL, or `-` for standard input.
        max_bytes: larger files are not read.
        max_pixels: larger pictures are not converted, see `decodable`.

    Returns:
        The bytes of a JPEG, PNG, GIF or BMP.

    Raises:
        UserError: one line that names the picture and says why it cannot be read.
    """
    fault = _fault(name)
    if fault:
        raise UserError(f"{name}: {fault}")
    try:
        content = _content(name, max_bytes)
        if len(content) > max_bytes:
            raise UserError(f"larger than {max_bytes >> 20} MB")
        encoded = decodable(content, max_pixels)
        if len(encoded) > max_bytes:
            raise UserError(f"larger than {max_bytes >> 20} MB as a PNG")
    except OSError as error:
        raise UserError(f"{name}: {error.strerror or error}") from error
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    return encoded


def _content(name, max_bytes):
    """The bytes, one more than `max_bytes` at most."""
    if name == STDIN:
        return sys.stdin.buffer.read(max_bytes + 1)
    if "://" in name:
        return download(name, max_bytes)
    with open(name, "rb") as file:
        return file.read(max_bytes + 1)


def encoded_picture(picture, number=1):
    """The name and the bytes of a picture in any form.

    Args:
        picture: a path or URL; bytes of a file; a PIL image; or an array uint8 of shape [H, W, 3],
            [H, W, 4], [H, W, 1] or [H, W].
        number: names what has no name: `picture 1`.

    Returns:
        (name, bytes of a JPEG, PNG, GIF or BMP).

    Raises:
        UserError: one line that names the picture and says why it cannot be read.
    """
    if isinstance(picture, str | os.PathLike):
        return str(picture), read_picture(str(picture))
    name = getattr(picture, "filename", "") or f"picture {number}"  # files that PIL opened
    try:
        if isinstance(picture, bytes | bytearray | memoryview):
            return name, decodable(bytes(picture))
        if isinstance(picture, Image.Image):
            return name, to_png(picture)
        return name, to_png(_image_of(np.asarray(picture)))
    except (OSError, ValueError) as error:  # a file that PIL opened may end too early
        raise UserError(f"{name}: not decodable: {error}") from error
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def _image_of(pixels):
    """The PIL image of an array."""
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] in (1, 3, 4))
    if pixels.dtype != np.uint8 or not is_picture or not pixels.size:
        raise UserError(
            f"an array {pixels.dtype} {list(pixels.shape)}; "
            "expected a path, a URL, bytes, a PIL image or an array uint8 [H, W, 3]"
        )
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(pixels)
