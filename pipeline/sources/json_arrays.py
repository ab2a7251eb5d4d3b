"""Reading the arrays of large JSON files element by element, so that memory stays flat."""

import json
import re

from keras_sat.utils.errors import UserError
from pipeline.sources.paths import open_file
from pipeline.sources.text import check_encoding

_BLOCK = 1 << 20  # bytes that are read at once
_LONGEST = 64 << 20  # bytes of an element
_KEY = 1000  # characters within which an array's key and its bracket are found
_SEPARATORS = re.compile(r"[\s,]*")


def elements(path, key=None, keys=()):
    """Yields the objects of an array one by one.

    Args:
        path: a JSON file.
        key: the array's key in the file's outermost object; None if the file is an array.
        keys: the keys that every object of the array must have.

    Raises:
        UserError: there is no such array, it is cut short, or an element lacks one of `keys`.
    """
    decoder = json.JSONDecoder()
    beginning = re.compile(r"\s*\[" if key is None else rf'(?<!\\)"{key}"\s*:\s*\[')
    find = beginning.match if key is None else beginning.search
    text = ""
    in_array = False
    for block in _blocks_of_objects(path):
        text += block
        position = 0
        if not in_array:
            found = find(text)
            if not found and key is None:
                break
            if not found:
                text = text[-_KEY:]  # the key may continue in the next block
                continue
            in_array = True
            position = found.end()
        while True:
            element = _SEPARATORS.match(text, position).end()
            if text.startswith("]", element):
                return
            try:
                value, position = decoder.raw_decode(text, element)
            except json.JSONDecodeError:
                break  # the element continues in the next block
            except (ValueError, RecursionError) as error:  # a very long number, or very deep
                raise UserError(f"{path}: an element cannot be read ({error})") from error
            _check_keys(value, keys, f"{path}: {key}")
            yield value
        text = text[position:]
        if len(text) > _LONGEST:
            raise UserError(f"{path}: an element of more than {_LONGEST >> 20} MB")
    what = f'complete array "{key}"' if key else "complete array"
    raise UserError(f"{path}: no {what} in it; expected a JSON file of captions")


def _blocks_of_objects(path):
    """Yields the text of a JSON file in blocks that end where an object or array does.

    A block then ends at no character's second byte. What follows the last one is left out.
    """
    pending = b""
    first = True
    check_encoding(path)
    with open_file(path) as file:
        while block := file.read(_BLOCK):
            block = pending + block
            cut = max(block.rfind(b"}"), block.rfind(b"]")) + 1
            pending = block[cut:]
            if len(pending) > _LONGEST:
                raise UserError(f"{path}: an element of more than {_LONGEST >> 20} MB")
            if cut:
                encoding = "utf-8-sig" if first else "utf-8"
                yield block[:cut].decode(encoding, "surrogateescape")
                first = False


def _check_keys(value, keys, where):
    missing = [name for name in keys if not isinstance(value, dict) or name not in value]
    if missing:
        raise UserError(f"{where}: an element without {', '.join(missing)}: {str(value)[:80]}")
