"""COCO captions, and other files of the same shape.

Reference: Chen et al. 2015, "Microsoft COCO captions: data collection and evaluation server",
arXiv:1504.00325.
"""

import itertools

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import files, json_arrays
from pipeline.sources.base import CAPTION, UNSPLIT, Item, bad_line, split_by_hash, split_in_name
from pipeline.sources.looking import Seen
from pipeline.sources.pictures import USUAL, Pictures

YEARS = ("2017", "2014")
KEYS = {"images": ("id", "file_name"), "annotations": ("id", "image_id", "caption")}
TYPES = {"id": int | str, "image_id": int | str, "file_name": str, "caption": str}


class CocoSource(files.FileSource):
    """Captions in annotations/captions_{train,val}YEAR.json, pictures in {train,val}YEAR.

    The folders of pictures may also lie in images/ or in the folder of `--images`. If the corpus
    has both years, 2017 is read. COCO's official test pictures have no captions; Karpathy's splits
    have a test split.

    Without these files, all JSON files of this shape are read, in the folder and in annotations/; a
    file's name says its split, else a hash does. `source` may name one file. Their pictures lie in
    one of the usual folders.

    Raises:
        UserError: the folder has no captions or no pictures.
    """

    title = "COCO captions"

    @staticmethod
    def sees(seen, config):
        year, _ = _official(seen)
        if year:
            return f"annotations/captions_*{year}.json"
        return ", ".join(FileSystems.split(path)[1] for path in caption_files(seen))

    def __init__(self, config):
        seen = Seen.at(config.source)
        super().__init__(config, seen.folder)
        self._shares = config.shares
        year, self._captions = _official(seen)
        self._pictures = {}
        for split, path in self._captions.items():
            part = f"{split}{year}"
            folder = self.folder_of_pictures((part, f"images/{part}"))
            self._pictures[path] = Pictures([folder])
        if self._captions:
            self._splits = {path: split for split, path in self._captions.items()}
        else:
            self._read_others(caption_files(seen))
        self._official = bool(year)
        self.read_from(*self._splits)

    def _read_others(self, paths):
        """Notes splits and pictures of files that are not the official ones."""
        if not paths:
            raise UserError(
                f"{self.folder}: has no captions; expected annotations/captions_train2017.json or "
                "…2014.json, or any file of this shape"
            )
        folders = [*USUAL, "train2017", "val2017", "train2014", "val2014"]
        pictures = Pictures.under(self.roots.folders, folders)
        self._splits = {path: split_in_name(FileSystems.split(path)[1]) for path in paths}
        self._pictures = dict.fromkeys(paths, pictures)

    def partitions(self):
        return list(itertools.product(self._splits, KEYS))

    def list_items(self, partition):
        path, array = partition
        for value in json_arrays.elements(path, array, KEYS[array]):
            yield self._item(path, array, value)

    def _item(self, path, array, value):
        """The item of one element of an array."""
        why = _fault(value, array)
        place = f"{path}@{array} {value['id']}"
        if why and array == "images":
            return Item(place, UNSPLIT, fault=f"malformed line: {why}")
        if why:
            return bad_line(place, value["caption"], why)
        split = self._splits[path]
        if array == "annotations":
            # Numbers and texts cannot be compared, so that numbers come first.
            order = (isinstance(value["id"], str), value["id"])
            id = self._id(path, value["image_id"])
            return Item(id, split, captions=(value["caption"],), order=order, left_out=CAPTION)
        id = self._id(path, value["id"])
        otherwise = "" if split else split_by_hash(id, self._shares)
        try:
            picture = self._pictures[path].path(value["file_name"])
        except UserError as error:
            return Item(id, split, fault=str(error))
        return Item(id, split, picture, otherwise=otherwise)

    def _id(self, path, number):
        """The image's id. Official ids are unique over all files; others only within a file."""
        if self._official or len(self._splits) == 1:
            return str(number)
        return f"{FileSystems.split(path)[1].removesuffix('.json')}/{number}"


def caption_files(seen):
    """The JSON files of the shape of COCO's captions, in the folder and in its annotations/."""
    places = [seen] if seen.file else [seen, *seen.within("annotations")]
    found = []
    for place in places:
        for path in place.few(".json"):
            if _is_of_shape(path):
                found.append(path)
    return found


def _is_of_shape(path):
    """Whether a JSON file has images, and annotations with captions."""
    try:
        for array, keys in KEYS.items():
            next(json_arrays.elements(path, array, keys), None)
    except UserError:
        return False
    return True


def _official(seen):
    """(year, {split: path of its captions}) of the first year that the folder has captions of."""
    if not seen.file:
        for year in YEARS:
            names = {
                split: f"annotations/captions_{split}{year}.json" for split in ("train", "val")
            }
            captions = files.existing(seen.folder, names)
            if captions:
                return year, captions
    return "", {}


def _fault(value, array):
    """What is wrong with an element of the array, or an empty text."""
    for key in KEYS[array]:
        if not isinstance(value[key], TYPES[key]):
            expected = "text" if TYPES[key] is str else "a number or text"
            return f"{key} of {array} {value['id']} is {value[key]!r}, expected {expected}"
    return ""
