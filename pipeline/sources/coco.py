"""COCO captions.

Reference: Chen et al. 2015, "Microsoft COCO captions: data collection and evaluation server", arXiv:1504.00325.
"""

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import files
from pipeline.sources.base import UNSPLIT, Item

YEARS = ("2017", "2014")
TYPES = {"id": int | str, "image_id": int | str, "file_name": str, "caption": str}


class CocoSource(files.FileSource):
    """annotations/captions_{train,val}YEAR.json and the folders {train,val}YEAR or images/{train,val}YEAR.

    2017 where both years are there. The official test pictures have no captions; Karpathy's splits have a test split.

    Raises:
        UserError: a folder without captions or pictures.
    """

    def __init__(self, config):
        for year in YEARS:
            parts = {split: f"{split}{year}" for split in ("train", "val")}
            captions = {split: f"annotations/captions_{part}.json" for split, part in parts.items()}
            self._captions = files.existing(config.source, captions)
            if self._captions:
                break
        else:
            raise UserError(
                f"{config.source}: has no captions; expected annotations/captions_train2017.json or …2014.json"
            )
        self._pictures = {
            split: files.first_of(
                config.source, (parts[split], f"images/{parts[split]}"), "folder of pictures"
            )
            for split in self._captions
        }
        self.listings = tuple(self._captions.values())

    def partitions(self):
        return [(split, array) for split in self._captions for array in ("images", "annotations")]

    def list_items(self, partition):
        split, array = partition
        keys = ("id", "file_name") if array == "images" else ("id", "image_id", "caption")
        for value in files.json_array(self._captions[split], array, keys):
            if wrong := [key for key in keys if not isinstance(value[key], TYPES[key])]:
                expected = "text" if TYPES[wrong[0]] is str else "a number or text"
                fault = f"malformed line: {wrong[0]} of {array} {value['id']} is {value[wrong[0]]!r}, expected {expected}"
                yield Item(f"{self._captions[split]}@{array} {value['id']}", UNSPLIT, fault=fault)
            elif array == "images":
                yield Item(
                    str(value["id"]),
                    split,
                    FileSystems.join(self._pictures[split], value["file_name"]),
                )
            else:
                order = (
                    isinstance(value["id"], str),
                    value["id"],
                )  # numbers and texts have no order between them
                yield Item(str(value["image_id"]), split, captions=(value["caption"],), order=order)
