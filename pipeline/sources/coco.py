"""COCO captions.

Reference: Chen et al. 2015, "Microsoft COCO captions: data collection and evaluation server",
arXiv:1504.00325.
"""

import itertools

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import files
from pipeline.sources.base import UNSPLIT, Item

YEARS = ("2017", "2014")
KEYS = {"images": ("id", "file_name"), "annotations": ("id", "image_id", "caption")}
TYPES = {"id": int | str, "image_id": int | str, "file_name": str, "caption": str}


class CocoSource(files.FileSource):
    """Captions in annotations/captions_{train,val}YEAR.json, pictures in {train,val}YEAR.

    The folders of pictures may also lie in images/. If the corpus has both years, 2017 is read.
    COCO's official test pictures have no captions; Karpathy's splits have a test split.

    Raises:
        UserError: the folder has no captions or no pictures.
    """

    def __init__(self, config):
        year, self._captions = _captions_of(config.source)
        self._pictures = {}
        for split in self._captions:
            part = f"{split}{year}"
            self._pictures[split] = files.first_of(
                config.source, (part, f"images/{part}"), "folder of pictures"
            )
        self.listings = tuple(self._captions.values())

    def partitions(self):
        return list(itertools.product(self._captions, KEYS))

    def list_items(self, partition):
        split, array = partition
        path = self._captions[split]
        for value in files.json_array(path, array, KEYS[array]):
            fault = _fault(value, array)
            if fault:
                yield Item(f"{path}@{array} {value['id']}", UNSPLIT, fault=fault)
            elif array == "images":
                picture = FileSystems.join(self._pictures[split], value["file_name"])
                yield Item(str(value["id"]), split, picture)
            else:
                # Numbers and texts cannot be compared, so that numbers come first.
                order = (isinstance(value["id"], str), value["id"])
                yield Item(str(value["image_id"]), split, captions=(value["caption"],), order=order)


def _captions_of(folder):
    """(year, {split: path of its captions}) of the first year that the folder has captions of."""
    for year in YEARS:
        names = {split: f"annotations/captions_{split}{year}.json" for split in ("train", "val")}
        captions = files.existing(folder, names)
        if captions:
            return year, captions
    raise UserError(
        f"{folder}: has no captions; expected annotations/captions_train2017.json or …2014.json"
    )


def _fault(value, array):
    """Why an element of the array cannot be used, or None."""
    for key in KEYS[array]:
        if not isinstance(value[key], TYPES[key]):
            expected = "text" if TYPES[key] is str else "a number or text"
            return (
                f"malformed line: {key} of {array} {value['id']} is {value[key]!r}, "
                f"expected {expected}"
            )
    return None
