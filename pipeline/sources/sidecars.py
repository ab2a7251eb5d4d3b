"""Pictures with a text file each: a.jpg and a.txt."""

import itertools
import os

from keras_sat.utils.errors import UserError
from pipeline.sources import files, text
from pipeline.sources.base import Item, bad_line, split_by_hash, split_in_name
from pipeline.sources.looking import Seen
from pipeline.sources.pictures import SUFFIXES, walk

_TEXTS = (".txt", ".caption")


class SidecarSource(files.FileSource):
    """Pictures in a folder and its folders, each with a .txt or .caption beside it.

    Each line of the text file is a caption. A folder named train, val or test gives the split, else
    a hash of the path does.

    Raises:
        UserError: no picture has such a file.
    """

    published = False
    title = "pictures with a text file each"

    def __init__(self, config):
        super().__init__(config)
        self._shares = config.shares
        if not SidecarSource.sees(Seen.at(config.source), config):
            raise UserError(f"{config.source}: no picture has a .txt of its name beside it")
        self._pictures = {}  # {folder: paths}
        self._texts = {}
        for paths, suffixes in ((self._pictures, SUFFIXES), (self._texts, _TEXTS)):
            for path in walk(self.folder, suffixes):
                paths.setdefault(os.path.dirname(path), []).append(path)
        self.read_from(*itertools.chain.from_iterable(self._texts.values()))

    @staticmethod
    def sees(seen, config):
        if seen.file:
            return None
        for place in [seen, *seen.within()]:
            stems = {os.path.splitext(name)[0] for name in place.pictures()}
            for suffix in _TEXTS:
                for path in place.files(suffix):
                    stem = os.path.splitext(path)[0]
                    if os.path.basename(stem) in stems:
                        return f"such as {path[len(seen.folder) :].strip('/')}"
        return None

    def partitions(self):
        """(the pictures, the texts) of each folder."""
        folders = sorted({*self._pictures, *self._texts})
        return [(self._pictures.get(each, []), self._texts.get(each, [])) for each in folders]

    def list_items(self, partition):
        pictures, paths = partition
        texts = {}  # {path without suffix: paths}
        for path in paths:
            texts.setdefault(os.path.splitext(path)[0], []).append(path)
        stems = set()
        for path in pictures:
            stem = os.path.splitext(path)[0]
            stems.add(stem)
            yield from self._items(path, texts.get(stem, []))
        for stem, found in texts.items():
            if stem not in stems:
                yield bad_line(found[0], found[0], "a text without a picture of its name")

    def _items(self, path, texts):
        """Yields the picture's item, and one per caption of it."""
        id = self._name(path)
        split = split_in_name(id.rpartition("/")[0])
        otherwise = split_by_hash(id, self._shares)
        yield Item(id, split, path, otherwise=otherwise)
        for found in texts:
            for number, line in text.lines(found):
                yield Item(id, split, path, (line,), (number,), otherwise=otherwise)

    def _name(self, path):
        return path[len(self.folder) :].lstrip("/")

    def fingerprint(self):
        """The hash of the texts, and of the pictures' names."""
        paths = itertools.chain.from_iterable(self._pictures.values())
        return f"{super().fingerprint()} {files.digest_of(map(self._name, paths))}"
