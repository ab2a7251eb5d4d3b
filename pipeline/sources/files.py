"""What the readers of files share. A path may be anything that Beam's file systems open."""

import hashlib
import json
import re

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from keras_sat.data.record import Record
from keras_sat.utils.errors import UserError
from pipeline.sources.base import Source

_BLOCK = 1 << 20  # bytes that are read at once
_RANGE = 4 << 20  # bytes of a captions file that one worker lists
_KEY = 1000  # characters within which an array's key and its bracket are found


class FileSource(Source):
    """A corpus of picture files and of files that list them.

    Attributes:
        listings: the paths of the files that list pictures and captions, set by the readers.
    """

    listings = ()

    def load(self, item):
        if not item.path:
            raise FileNotFoundError(
                f"the corpus has captions for it, but does not list it ({self.listings[0]})"
            )
        if "\0" in item.path:
            raise UserError("not readable: a NUL character in its name")
        return Record(item.id, item.captions, read(item.path))

    def fingerprint(self):
        """The hash of the listings' content. The pictures themselves are taken to be unchanged."""
        digest = hashlib.sha256()
        for path in self.listings:
            with open_file(path) as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        return f"{type(self).__name__} {digest.hexdigest()[:16]}"


def open_file(path):
    """A binary file, open for reading.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
    """
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def read(path):
    """The bytes of a file."""
    with open_file(path) as file:
        return file.read()


def exists(path):
    """Whether there is such a file or folder."""
    system = FileSystems.get_filesystem(path)
    if system.exists(path):
        return True
    if system.has_dirs():
        return False
    # Object stores know a folder only by the files in it.
    return bool(system.match([f"{path}/*"], [1])[0].metadata_list)


def first_of(folder, names, what):
    """The path of the first of these names that the folder has.

    Args:
        folder: where to look.
        names: names relative to the folder.
        what: what is looked for, as the message calls it.

    Raises:
        UserError: it has none of them.
    """
    for name in names:
        path = FileSystems.join(folder, name)
        if exists(path):
            return path
    raise UserError(f"{folder}: has no {what}; expected {' or '.join(names)}")


def existing(folder, names):
    """{key: path} of those of {key: name} that the folder has."""
    paths = {key: FileSystems.join(folder, name) for key, name in names.items()}
    return {key: path for key, path in paths.items() if exists(path)}


def ranges(path):
    """[(path, start, end)]: the ranges of bytes in which workers share a file of lines."""
    size = FileSystems.get_filesystem(path).size(path)
    return [(path, start, min(start + _RANGE, size)) for start in range(0, size, _RANGE)]


def partitions(lists, captions):
    """The ranges of a corpus that has a list of images per split and one file of captions.

    Args:
        lists: {split: path of its list}.
        captions: the path of the captions.

    Returns:
        [(split or "captions", range)].
    """
    parts = []
    for kind, path in [*lists.items(), ("captions", captions)]:
        parts += [(kind, part) for part in ranges(path)]
    return parts


def lines(path, start=0, end=float("inf")):
    """Yields (offset, line without its end) of each non-empty line that begins in a range of bytes.

    Bytes that are not UTF-8 become surrogates.
    """
    with open_file(path) as file:
        if start:
            file.seek(start - 1)
            file.readline()  # the rest of a line that began in the range before
        offset = file.tell()
        while offset < end:
            line = file.readline()
            if not line:
                break
            encoding = "utf-8-sig" if offset == 0 else "utf-8"
            text = line.decode(encoding, "surrogateescape").rstrip("\r\n")
            if text:
                yield offset, text
            offset += len(line)


def json_array(path, key, keys):
    """Yields the objects of an array one by one, so that memory stays flat.

    Args:
        path: a JSON file.
        key: the array's key in the file's outermost object.
        keys: the keys that every object of the array must have.

    Raises:
        UserError: there is no such array, it is cut short, or an element lacks one of `keys`.
    """
    decoder = json.JSONDecoder()
    beginning = re.compile(rf'(?<!\\)"{key}"\s*:\s*\[')
    separators = re.compile(r"[\s,]*")
    text = ""
    in_array = False
    for block in _blocks_of_objects(path):
        text += block
        position = 0
        if not in_array:
            found = beginning.search(text)
            if not found:
                text = text[-_KEY:]  # the key may continue in the next block
                continue
            in_array = True
            position = found.end()
        while True:
            element = separators.match(text, position).end()
            if text.startswith("]", element):
                return
            try:
                value, position = decoder.raw_decode(text, element)
            except json.JSONDecodeError:
                break  # the element continues in the next block
            _check_keys(value, keys, f"{path}: {key}")
            yield value
        text = text[position:]
    raise UserError(f'{path}: no complete array "{key}" in it; expected a JSON file of captions')


def _blocks_of_objects(path):
    """Yields the text of a JSON file in blocks that end where an object does.

    A block then ends at no character's second byte. What follows the last object is left out.
    """
    pending = b""
    with open_file(path) as file:
        while block := file.read(_BLOCK):
            block = pending + block
            cut = block.rfind(b"}") + 1
            pending = block[cut:]
            yield block[:cut].decode("utf-8", "surrogateescape")


def _check_keys(value, keys, where):
    missing = [name for name in keys if not isinstance(value, dict) or name not in value]
    if missing:
        raise UserError(f"{where}: an element without {', '.join(missing)}: {str(value)[:80]}")
