"""What the command prints and draws."""

import json
import sys

import numpy as np

from serving.client.overlay import drawing, write_overlay


def show(results, as_json, overlay, numbered):
    """Prints results as they come in, and draws the attention if asked to.

    Args:
        results: iterable of `Result`.
        as_json: whether to print one JSON object per picture.
        overlay: the path of the PNG file to draw to, or None.
        numbered: whether each picture's number is added to the file's name.

    Returns:
        How many pictures have no caption.

    Raises:
        ValueError: keras_sat cannot be imported to draw; nothing has been asked for yet.
    """
    if overlay:
        drawing()
    failures = 0
    for number, result in enumerate(results, 1):
        if as_json:
            print(json.dumps(_fields(result)), flush=True)
        if result.problem:
            print(f"error: {result.problem}", file=sys.stderr)
            failures += 1
            continue
        if not as_json:
            print(f"{result.name}\t{result.answer.caption}", flush=True)
        if overlay:
            path = overlay.with_stem(f"{overlay.stem}-{number}") if numbered else overlay
            write_overlay(path, result.image, result.answer)
    return failures


def _fields(result):
    """A result as JSON: image, status, and the answer's fields if there is an answer."""
    fields = {"image": result.name, "status": result.problem}
    if result.answer is not None:
        for name, value in result.answer._asdict().items():
            fields[name] = value.tolist() if isinstance(value, np.ndarray) else value
    return fields
