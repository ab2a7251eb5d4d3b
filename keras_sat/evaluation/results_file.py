"""Captions in COCO's results format, `[{"image_id": …, "caption": "…"}, …]`, whichever program wrote them."""

import json
from pathlib import Path

from keras_sat.utils.errors import UserError
from keras_sat.utils.files import write_text


def write_results(path, captions):
    """Writes {image id: caption}. Ids that are numbers become numbers, as COCO's own tools want them."""
    numbers = all(
        name.isascii() and name.isdecimal() and str(int(name)) == name for name in captions
    )
    results = [
        {"image_id": int(name) if numbers else name, "caption": text}
        for name, text in captions.items()
    ]
    write_text(path, json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def read_results(path):
    """{image id: caption}.

    Raises:
        UserError: unreadable, malformed or empty, or one image has two captions.
    """
    form = 'expected [{"image_id": …, "caption": "…"}, …]'
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); {form}") from error
    if not isinstance(results, list):
        raise UserError(f"{path}: {form}, found {type(results).__name__}")
    if not results:
        raise UserError(f"{path}: holds no captions; {form}")
    captions = {}
    for place, result in enumerate(results, 1):
        image, caption = (
            (result.get(key) for key in ("image_id", "caption"))
            if isinstance(result, dict)
            else (None, None)
        )
        if not isinstance(image, str | int) or not isinstance(caption, str):
            raise UserError(f"{path}: entry {place} is {json.dumps(result)[:80]}; {form}")
        if captions.setdefault(str(image), caption) != caption:
            raise UserError(f"{path}: image {image} has two captions; keep one of them")
    return captions


def check_split(path, captions, data, split, known):
    """Checks that captions belong to images of a split.

    Args:
        captions: of `read_results(path)`. data: a `PreparedData`. known: the split's image ids.
    Raises:
        UserError: naming an image that does not, and the split that it belongs to, if any.
    """
    if not (strange := next((image for image in captions if image not in known), None)):
        return
    from keras_sat.data.reading import read_captions

    others = [name for name in data.manifest["splits"] if name != split]
    home = next(
        (
            name
            for name in others
            if any(strange == image for image, _ in read_captions(data, name))
        ),
        None,
    )
    mend = f"it belongs to {home}; say --split {home}" if home else "no split of it has this image"
    raise UserError(f"{path}: image {strange} is not in the split {split} of {data.folder}: {mend}")
