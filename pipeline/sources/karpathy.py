"""Karpathy's splits of Flickr8k, Flickr30k and COCO: dataset_*.json.

Reference: Karpathy & Li 2015, "Deep visual-semantic alignments for generating image descriptions", CVPR.
"""

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import files, flickr8k, flickr30k
from pipeline.sources.base import UNSPLIT, Item

FILES = ("dataset_flickr8k.json", "dataset_flickr30k.json", "dataset_coco.json")
SPLITS = {"train": "train", "restval": "train", "val": "val", "test": "test"}


class KarpathySource(files.FileSource):
    """One dataset_*.json with the pictures beside it, in the folders of their corpus. `source` is the file or its folder.

    COCO's pictures lie in train2014 and val2014 (or images/…), as each image's `filepath` says; its id is its COCO id.

    Raises:
        UserError: no such file, or several of them.
    """

    def __init__(self, config):
        if config.source.endswith(".json"):
            folder, file = FileSystems.split(config.source)
            self._file = files.first_of(folder or ".", (file,), "such file")
        else:
            folder, found = (
                config.source,
                files.existing(config.source, {name: name for name in FILES}),
            )
            if len(found) != 1:
                have = ", ".join(found) or "no dataset_*.json"
                raise UserError(f"{folder}: has {have}; --source may name the file itself")
            (self._file,) = found.values()
        names = ("images", *flickr8k.FOLDERS, *flickr30k.FOLDERS)
        self._pictures = next(
            iter(files.existing(folder, {name: name for name in names}).values()), folder
        )
        self.listings = (self._file,)

    def partitions(self):
        return [self._file]

    def list_items(self, partition):
        for image in files.json_array(partition, "images", ("filename", "split", "sentences")):
            id, split = str(image.get("cocoid", image["filename"])), SPLITS.get(str(image["split"]))
            if split is None:
                yield Item(
                    id,
                    UNSPLIT,
                    fault=f"unknown split: {image['split']!r}, expected {', '.join(SPLITS)}",
                )
                continue
            path = FileSystems.join(
                self._pictures, str(image.get("filepath", "")), str(image["filename"])
            )
            yield Item(id, split, path)
            for place, sentence in enumerate(image["sentences"]):
                text, number = (sentence.get(key) for key in ("raw", "sentid"))
                if isinstance(text, str):
                    yield Item(
                        id, split, path, (text,), (number if isinstance(number, int) else place,)
                    )
                else:
                    yield Item(
                        f"{id}#{place}",
                        UNSPLIT,
                        fault=f"malformed line: `raw` of the sentence is {text!r}, no text",
                    )
