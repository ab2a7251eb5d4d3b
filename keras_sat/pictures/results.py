"""What the commands that caption pictures print and write: one line or JSON object per picture.

It imports no TensorFlow.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

from keras_sat.pictures.formats import SUFFIXES, enumerated
from keras_sat.pictures.reading import STDIN
from keras_sat.utils.errors import UserError
from keras_sat.utils.progress import print_beside_bars

# Of overlays; what Matplotlib writes and people open.
OVERLAY_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".pdf", ".svg")


def add_arguments(parser):
    """Adds the pictures to caption, and what to print and draw of them."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a file, a folder, a pattern, a URL, or - for standard input",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    formats = enumerated([suffix.removeprefix(".") for suffix in OVERLAY_SUFFIXES])
    parser.add_argument(
        "--overlay",
        metavar="FILE|DIR",
        help=f"draw where the captioner looked: a file that ends in {formats}, or a folder",
    )


class Result(NamedTuple):
    """What came of one picture.

    Attributes:
        name: the picture's.
        caption: empty if there is none.
        problem: one line that says why there is no caption; empty if there is one.
        fields: {name: value}, all that is to be told in JSON.
    """

    name: str
    caption: str = ""
    problem: str = ""
    fields: dict = {}


def show(results, as_json):
    """Prints results as they come in.

    Args:
        results: iterable of `Result`.
        as_json: whether to print one JSON object per picture, in place of its name, a tab and its
            caption.

    Returns:
        How many pictures have no caption.
    """
    failures = 0
    for result in results:
        if as_json:
            status = {"image": result.name, "status": result.problem or "OK"}
            print_beside_bars(json.dumps(status | result.fields), sys.stdout)
        elif not result.problem:
            print_beside_bars(f"{result.name}\t{result.caption}", sys.stdout)
        if result.problem:
            print_beside_bars(f"error: {result.problem}", sys.stderr)
            failures += 1
    return failures


def overlay_files(overlay, names):
    """Where the overlays of pictures are drawn.

    Args:
        overlay: a file, or a folder: one that exists, or a name without a suffix. In a folder an
            overlay is called PICTURE-attention.png. A file is numbered if there are several
            pictures: where-1.png, where-2.png, …
        names: of the pictures, see `keras_sat.pictures.reading.list_pictures`.

    Returns:
        {name: Path}. The file's suffix decides its format.

    Raises:
        UserError: an unknown suffix; an overlay that would replace one of the pictures.
    """
    overlay = Path(overlay)
    files = {}
    if overlay.is_dir() or not overlay.suffix:
        taken = set()
        for name in names:
            files[name] = _file_in(overlay, name, taken)
            taken.add(files[name])
    else:
        if overlay.suffix.lower() not in OVERLAY_SUFFIXES:
            known = enumerated(OVERLAY_SUFFIXES)
            raise UserError(f"{overlay}: cannot be drawn in this format; choose {known}")
        for number, name in enumerate(names, 1):
            several = f"{overlay.stem}-{number}"
            files[name] = overlay.with_stem(several) if len(names) > 1 else overlay
    pictures = {Path(name).resolve() for name in names}
    for name, file in files.items():
        if file.resolve() in pictures:
            raise UserError(f"--overlay {overlay}: would replace the picture {name}")
    return files


def _file_in(folder, name, taken):
    """The first free name in a folder for a picture's overlay."""
    path = Path("picture" if name == STDIN else name.partition("?")[0])
    stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
    file = folder / f"{stem}-attention.png"
    number = 1
    while file in taken:
        number += 1
        file = folder / f"{stem}-{number}-attention.png"
    return file
