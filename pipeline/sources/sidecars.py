"""Pictures with a text file each: a.jpg and a.txt."""

import os

from keras_sat.utils.errors import UserError
from pipeline.sources import files, text
from pipeline.sources.base import Item, bad_line, split_by_hash, split_in_name
from pipeline.sources.looking import Seen
from pipeline.sources.paths import exists
from pipeline.sources.pictures import walk

_SUFFIXES = (".txt", ".caption")


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
        self._pictures = {}  # {path without suffix: [paths]}
        for path in walk(self.folder):
            self._pictures.setdefault(os.path.splitext(path)[0], []).append(path)
        captions = walk(self.folder, _SUFFIXES)
        self.read_from(*captions)

    @staticmethod
    def sees(seen, config):
        if seen.file:
            return None
        for place in [seen, *seen.within()]:
            stems = {os.path.splitext(name)[0] for name in place.pictures()}
            for suffix in _SUFFIXES:
                for path in place.files(suffix):
                    stem = os.path.splitext(path)[0]
                    if os.path.basename(stem) in stems:
                        return f"such as {path[len(seen.folder) :].strip('/')}"
        return None

    def partitions(self):
        """The folders that hold pictures or texts."""
        return sorted({os.path.dirname(path) for path in [*self._pictures, *self.listings]})

    def list_items(self, partition):
        for stem, paths in self._pictures.items():
            if os.path.dirname(stem) == partition:
                for path in paths:
                    yield from self._items(stem, path)
        for path in self.listings:
            stem = os.path.splitext(path)[0]
            if os.path.dirname(path) == partition and stem not in self._pictures:
                yield bad_line(path, path, "a text without a picture of its name")

    def _items(self, stem, path):
        """Yields the picture's item, and one per caption of it."""
        id = self._name(path)
        split = split_in_name(id.rpartition("/")[0])
        otherwise = split_by_hash(id, self._shares)
        yield Item(id, split, path, otherwise=otherwise)
        for suffix in _SUFFIXES:
            if exists(stem + suffix):
                for number, line in text.lines(stem + suffix):
                    yield Item(id, split, path, (line,), (number,), otherwise=otherwise)

    def _name(self, path):
        return path[len(self.folder) :].lstrip("/")

    def fingerprint(self):
        """The hash of the texts, and of the pictures' names."""
        names = sorted(self._name(path) for paths in self._pictures.values() for path in paths)
        return f"{super().fingerprint()} {files.digest_of(names)}"
