"""Flickr8k in its official layout.

Reference: Hodosh, Young & Hockenmaier 2013, "Framing image description as a ranking task", JAIR 47.
"""

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import files
from pipeline.sources.base import UNSPLIT, Item

FOLDERS = ("Flicker8k_Dataset", "Flickr8k_Dataset", "Images")
TOKENS = ("Flickr8k.token.txt",)
LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}


class Flickr8kSource(files.FileSource):
    """Flickr8k.token.txt, Flickr_8k.*Images.txt (a list that is missing: a split that is not built) and the pictures,
    directly in the folder or where the published archives put them.

    Raises:
        UserError: a folder without them.
    """

    def __init__(self, config):
        self._pictures = files.first_of(config.source, FOLDERS, "folder of pictures")
        self._tokens = files.first_of(config.source, TOKENS, "captions")
        self._lists = files.existing(config.source, LISTS)
        if "train" not in self._lists:
            raise UserError(
                f"{config.source}: has no list of training images; expected {LISTS['train']}"
            )
        self.listings = (self._tokens, *self._lists.values())

    def partitions(self):
        return files.partitions(self._lists, self._tokens)

    def list_items(self, partition):
        kind, part = partition
        for offset, line in files.lines(*part):
            if kind != "captions":
                yield Item(line.strip(), kind, self._path(line.strip()))
                continue
            yield token_item(line, offset, part[0], self._path)

    def _path(self, name):
        return FileSystems.join(self._pictures, name)


def token_item(line, offset, file, path_of):
    """The item of a line `IMAGE.jpg#N<tab>caption`."""
    place, tab, caption = line.partition("\t")
    image, sharp, number = place.rpartition("#")
    if not (tab and sharp and number.isdecimal()):
        return Item(
            f"{file}@{offset}",
            UNSPLIT,
            fault=f"malformed line: {line[:60]!r}, expected IMAGE.jpg#N<tab>caption",
        )
    return Item(image, "", path_of(image), (caption,), (int(number),))
