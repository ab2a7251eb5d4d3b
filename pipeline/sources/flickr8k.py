"""Flickr8k in its official layout.

Reference: Hodosh, Young & Hockenmaier 2013, "Framing image description as a ranking task",
JAIR 47.
"""

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import files, text
from pipeline.sources.base import Item, bad_line

FOLDERS = ("Flicker8k_Dataset", "Flickr8k_Dataset", "Images")
TOKENS = ("Flickr8k.token.txt",)
LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}


class Flickr8kSource(files.FileSource):
    """Flickr8k.token.txt, the lists Flickr_8k.*Images.txt and a folder of pictures.

    The pictures lie where the published archives put them. A split without a list is not built.

    Raises:
        UserError: the folder has no pictures, no captions or no list of training images.
    """

    title = "Flickr8k"

    @staticmethod
    def sees(seen, config):
        names = (TOKENS[0], LISTS["train"])
        return ", ".join(names) if all(seen.has(name) for name in names) else ""

    def __init__(self, config):
        super().__init__(config)
        self._pictures = self.folder_of_pictures(FOLDERS)
        self._tokens = files.first_of(config.source, TOKENS, "captions")
        self._lists = files.existing(config.source, LISTS)
        if "train" not in self._lists:
            raise UserError(
                f"{config.source}: has no list of training images; expected {LISTS['train']}"
            )
        self.read_from(self._tokens, *self._lists.values())

    def partitions(self):
        return files.partitions(self._lists, self._tokens)

    def list_items(self, partition):
        kind, part = partition
        for number, line in text.lines(*part):
            if kind == "captions":
                yield token_item(line, number, part[0], self._path)
            else:
                name = line.strip()
                yield Item(name, kind, self._path(name))

    def _path(self, name):
        return FileSystems.join(self._pictures, name)


def token_item(line, line_number, file, path_of):
    """The item of a line `IMAGE.jpg#N<tab>caption`.

    Args:
        line: the line.
        line_number: its place in the file.
        file: the file's path, for the id of a malformed line.
        path_of: called with the image's name for its path.
    """
    place, tab, caption = line.partition("\t")
    image, sharp, number = place.rpartition("#")
    if not (tab and sharp and number.isdecimal()):
        why = f"{line[:60]!r}, expected IMAGE.jpg#N<tab>caption"
        return bad_line(f"{file}:{line_number}", line, why)
    return Item(image, path=path_of(image), captions=(caption,), order=(int(number),))
