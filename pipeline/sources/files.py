"""What readers of files share. A path may be anything that Beam's filesystems open."""

import hashlib
import json
import re

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources.base import Source

_RANGE = 4 << 20  # bytes of a captions file that one worker lists
_KEY = 1000  # characters in which an array's key and its bracket are found


class FileSource(Source):
    """A corpus of picture files and of files that list them. Readers set `listings`, the paths of the latter."""

    listings = ()

    def load(self, item):
        from keras_sat.data.record import Record

        if not item.path:
            raise FileNotFoundError(
                f"the corpus has captions for it, but does not list it ({self.listings[0]})"
            )
        if "\0" in item.path:
            raise UserError("not readable: a NUL character in its name")
        return Record(item.id, item.captions, read(item.path))

    def fingerprint(self):
        """Of the listings' content; the pictures themselves are taken to be unchanged."""
        digest = hashlib.sha256()
        for path in self.listings:
            with open_file(path) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return f"{type(self).__name__} {digest.hexdigest()[:16]}"


def open_file(path):
    """A binary file, open for reading.

    Raises:
        FileNotFoundError: there is none. OSError: it cannot be read.
    """
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def read(path):
    with open_file(path) as file:
        return file.read()


def exists(path):
    """Whether there is such a file or folder. Object stores know a folder only by the files in it."""
    system = FileSystems.get_filesystem(path)
    return system.exists(path) or (
        not system.has_dirs() and bool(system.match([f"{path}/*"], [1])[0].metadata_list)
    )


def first_of(folder, names, what):
    """The first of these names that the folder has, as a path.

    Raises:
        UserError: it has none of them.
    """
    for name in names:
        if exists(path := FileSystems.join(folder, name)):
            return path
    raise UserError(f"{folder}: has no {what}; expected {' or '.join(names)}")


def existing(folder, names):
    """{key: path} of those of {key: name} that the folder has."""
    paths = {key: FileSystems.join(folder, name) for key, name in names.items()}
    return {key: path for key, path in paths.items() if exists(path)}


def ranges(path):
    """[(path, start, end)]: a file of lines, cut where workers share it."""
    size = FileSystems.get_filesystem(path).size(path)
    return [(path, start, min(start + _RANGE, size)) for start in range(0, size, _RANGE)]


def partitions(lists, captions):
    """The ranges of splits' lists {split: path} and of a captions file, as [(split or "captions", range)]."""
    return [
        (kind, part)
        for kind, path in [*lists.items(), ("captions", captions)]
        for part in ranges(path)
    ]


def lines(path, start=0, end=float("inf")):
    """(offset, line) of the lines that begin in a range of bytes, without their ends; not UTF-8 becomes surrogates."""
    with open_file(path) as file:
        if start:
            file.seek(start - 1)
            file.readline()  # began in the range before
        offset = file.tell()
        while offset < end and (line := file.readline()):
            text = line.decode("utf-8-sig" if offset == 0 else "utf-8", "surrogateescape").rstrip(
                "\r\n"
            )
            if text:
                yield offset, text
            offset += len(line)


def json_array(path, key, keys):
    """The objects of the array under a key of a JSON file's outermost object, one after the other in flat memory.

    Raises:
        UserError: there is no such array, it is cut short, or an element lacks one of `keys`.
    """
    decoder, text, position = json.JSONDecoder(), "", None
    with open_file(path) as file:
        pending = b""
        while block := file.read(1 << 20):
            block = pending + block
            cut = block.rfind(b"}") + 1  # objects end here, so no character is cut
            text, pending = text + block[:cut].decode("utf-8", "surrogateescape"), block[cut:]
            if position is None:
                found = re.search(rf'(?<!\\)"{key}"\s*:\s*\[', text)
                text, position = (text, found.end()) if found else (text[-_KEY:], None)
            while position is not None:
                element = re.compile(r"[\s,]*").match(text, position).end()
                if text[element : element + 1] == "]":
                    return
                try:
                    value, position = decoder.raw_decode(text, element)
                except json.JSONDecodeError:
                    break  # goes on in the next block
                if missing := [
                    name for name in keys if not isinstance(value, dict) or name not in value
                ]:
                    raise UserError(
                        f"{path}: {key}: an element without {', '.join(missing)}: {str(value)[:80]}"
                    )
                yield value
            if position is not None:
                text, position = text[position:], 0
    raise UserError(f'{path}: no complete array "{key}" in it; expected a JSON file of captions')
