"""Karpathy's splits of Flickr8k, Flickr30k and COCO: dataset_*.json.

Reference: Karpathy & Li 2015, "Deep visual-semantic alignments for generating image descriptions",
CVPR.
"""

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import files, flickr8k, flickr30k, json_arrays
from pipeline.sources.base import CAPTION, UNSPLIT, Item, bad_line
from pipeline.sources.looking import Seen

FILES = ("dataset_flickr8k.json", "dataset_flickr30k.json", "dataset_coco.json")
FOLDERS = ("images", *flickr8k.FOLDERS, *flickr30k.FOLDERS)
KEYS = ("filename", "split", "sentences")
SPLITS = {"train": "train", "restval": "train", "val": "val", "test": "test"}


class KarpathySource(files.FileSource):
    """One dataset_*.json, or another file of its shape, with the corpus' pictures beside it.

    `source` is the file or its folder. COCO's pictures lie in train2014 and val2014, or in these
    folders of images/, as each image's `filepath` says. The id of such an image is its COCO id.

    Raises:
        UserError: there is no such file, or there are several.
    """

    title = "Karpathy's splits"

    @staticmethod
    def sees(seen, config):
        found = _files(seen)
        return ", ".join(FileSystems.split(path)[1] for path in found)

    def __init__(self, config):
        seen = Seen.at(config.source)
        found = seen.files(".json") if seen.file else _files(seen)
        if len(found) != 1:
            names = ", ".join(FileSystems.split(path)[1] for path in found) or "no dataset_*.json"
            raise UserError(f"{seen.folder}: has {names}; --source may name the file itself")
        self._file = found[0]
        super().__init__(config, seen.folder)
        pictures = {}
        for root in self.roots.folders:
            pictures |= files.existing(root, {f"{root} {name}": name for name in FOLDERS})
        self._pictures = next(iter(pictures.values()), self.roots.folders[-1])
        self.read_from(self._file)

    def partitions(self):
        return [self._file]

    def list_items(self, partition):
        for image in json_arrays.elements(partition, "images", KEYS):
            yield from self._items(image)

    def _items(self, image):
        """Yields the item of an image, and one per caption of it."""
        id = str(image.get("cocoid", image["filename"]))
        path = FileSystems.join(
            self._pictures, str(image.get("filepath", "")), str(image["filename"])
        )
        split = SPLITS.get(str(image["split"]), "")
        fault = ""
        if not split:
            fault = f"unknown split: {image['split']!r}, expected {', '.join(SPLITS)}"
        yield Item(id, split or UNSPLIT, path, fault=fault)
        sentences = image["sentences"] if isinstance(image["sentences"], list) else []
        for place, sentence in enumerate(sentences):
            values = sentence if isinstance(sentence, dict) else {}
            caption = values.get("raw")
            number = values.get("sentid")
            if isinstance(caption, str):
                order = number if isinstance(number, int) else place
                yield Item(
                    id,
                    split or UNSPLIT,
                    path,
                    captions=(caption,),
                    order=(order,),
                    fault=fault,
                    left_out=CAPTION,
                )
            else:
                why = f"`raw` of the sentence is {caption!r}, no text"
                yield bad_line(f"{id}#{place}", caption, why)


def _files(seen):
    """The files of the published names, or else those of their shape."""
    named = [path for path in seen.files(".json") if FileSystems.split(path)[1] in FILES]
    return named or [path for path in seen.few(".json") if _is_of_shape(path)]


def _is_of_shape(path):
    try:
        next(json_arrays.elements(path, "images", KEYS), None)
    except UserError:
        return False
    return True
