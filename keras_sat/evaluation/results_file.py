"""Captions in COCO's results format, `[{"image_id": …, "caption": "…"}, …]`, of any program."""

import json
from pathlib import Path

from keras_sat.text.encoding import encoding_fault
from keras_sat.utils.errors import UserError
from keras_sat.utils.files import write_text
from keras_sat.utils.json_files import loads

_FORM = 'expected [{"image_id": …, "caption": "…"}, …]'


def write_results(path, captions):
    """Writes captions.

    Args:
        path: the file.
        captions: {image id: caption}. If all ids are numbers, they are written as numbers, as
            COCO's own tools expect.
    """
    as_numbers = all(_is_number(image) for image in captions)
    results = []
    for image, caption in captions.items():
        results.append({"image_id": int(image) if as_numbers else image, "caption": caption})
    write_text(path, json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def _is_number(name):
    """Whether a number is written as this name: "007" is not."""
    return name.isascii() and name.isdecimal() and str(int(name)) == name


def read_results(path):
    """Reads captions.

    Returns:
        {image id: caption}.
    Raises:
        UserError: the file is unreadable, malformed or empty, or an image has two captions.
    """
    try:
        results = loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); {_FORM}") from error
    if not isinstance(results, list):
        raise UserError(f"{path}: {_FORM}, found {type(results).__name__}")
    if not results:
        raise UserError(f"{path}: holds no captions; {_FORM}")
    captions = {}
    for place, result in enumerate(results, 1):
        if not _is_result(result):
            raise UserError(f"{path}: entry {place} is {json.dumps(result)[:80]}; {_FORM}")
        image = str(result["image_id"])
        caption = result["caption"]
        fault = encoding_fault(image + caption)
        if fault:
            raise UserError(f"{path}: entry {place}: {fault}")
        if captions.setdefault(image, caption) != caption:
            raise UserError(f"{path}: image {image} has two captions; keep one of them")
    return captions


def _is_result(result):
    if not isinstance(result, dict):
        return False
    image = result.get("image_id")
    caption = result.get("caption")
    is_id = isinstance(image, str | int) and not isinstance(image, bool)
    return is_id and isinstance(caption, str)
