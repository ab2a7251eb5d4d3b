"""Karpathy's splits of Flickr8k, Flickr30k and COCO: dataset_*.json.

Reference: Karpathy & Li 2015, "Deep visual-semantic alignments for generating image descriptions",
CVPR.
"""

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import files, flickr8k, flickr30k
from pipeline.sources.base import UNSPLIT, Item

FILES = ("dataset_flickr8k.json", "dataset_flickr30k.json", "dataset_coco.json")
FOLDERS = ("images", *flickr8k.FOLDERS, *flickr30k.FOLDERS)
SPLITS = {"train": "train", "restval": "train", "val": "val", "test": "test"}


class KarpathySource(files.FileSource):
    """One dataset_*.json with its corpus' folder of pictures beside it.

    `source` is the file or its folder. COCO's pictures lie in train2014 and val2014, or in these
    folders of images/, as each image's `filepath` says. The id of such an image is its COCO id.

    Raises:
        UserError: there is no such file, or there are several.
    """

    def __init__(self, config):
        if config.source.endswith(".json"):
            folder, name = FileSystems.split(config.source)
            self._file = files.first_of(folder or ".", (name,), "such file")
        else:
            folder = config.source
            self._file = _only_file(folder)
        pictures = files.existing(folder, {name: name for name in FOLDERS})
        self._pictures = next(iter(pictures.values()), folder)
        self.listings = (self._file,)

    def partitions(self):
        return [self._file]

    def list_items(self, partition):
        for image in files.json_array(partition, "images", ("filename", "split", "sentences")):
            yield from self._items(image)

    def _items(self, image):
        """Yields the item of an image, and one per caption of it."""
        id = str(image.get("cocoid", image["filename"]))
        split = SPLITS.get(str(image["split"]))
        if split is None:
            fault = f"unknown split: {image['split']!r}, expected {', '.join(SPLITS)}"
            yield Item(id, UNSPLIT, fault=fault)
            return
        path = FileSystems.join(
            self._pictures, str(image.get("filepath", "")), str(image["filename"])
        )
        yield Item(id, split, path)
        for place, sentence in enumerate(image["sentences"]):
            text = sentence.get("raw")
            number = sentence.get("sentid")
            if isinstance(text, str):
                order = number if isinstance(number, int) else place
                yield Item(id, split, path, captions=(text,), order=(order,))
            else:
                fault = f"malformed line: `raw` of the sentence is {text!r}, no text"
                yield Item(f"{id}#{place}", UNSPLIT, fault=fault)


def _only_file(folder):
    found = files.existing(folder, {name: name for name in FILES})
    if len(found) != 1:
        names = ", ".join(found) or "no dataset_*.json"
        raise UserError(f"{folder}: has {names}; --source may name the file itself")
    return next(iter(found.values()))
