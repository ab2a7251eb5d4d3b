"""Where pictures and captions come from: one reader a corpus."""

import abc
import hashlib
from dataclasses import dataclass

from keras_sat.utils.errors import UserError

SPLITS = ("train", "val", "test")
UNSPLIT = "unsplit"  # what a corpus holds but gives to no split; it is named among the failures


@dataclass(frozen=True)
class Item:
    """What one place of a corpus says of an image, before it is opened. Only this is shuffled; it is merged by id.

    split: empty where this place does not say; otherwise: the split where no place says one. captions: as found; bytes that
    are no UTF-8 as surrogates. order: where the caption stands among the image's captions; no two have the same. fault: why
    the image (with captions: why these) is not taken, as `reason: detail`.
    """

    id: str
    split: str = ""
    path: str = ""
    captions: tuple[str, ...] = ()
    order: tuple = ()
    fault: str = ""
    otherwise: str = ""


class Source(abc.ABC):
    """A corpus. It is pickled to the workers, which list its partitions and load its items in parallel."""

    @abc.abstractmethod
    def partitions(self):
        """The parts that can be listed independently, any picklable values."""

    @abc.abstractmethod
    def list_items(self, partition):
        """The `Item`s of one partition, in any order."""

    @abc.abstractmethod
    def load(self, item):
        """The merged item's `keras_sat.data.record.Record`: encoded picture, captions and phrases.

        Raises:
            OSError: where the picture cannot be read.
        """

    @abc.abstractmethod
    def fingerprint(self):
        """A string that changes when the corpus does."""


def stable_hash(text):
    """A 64-bit number that depends on nothing but the text."""
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:8], "big")


def split_by_hash(id, shares):
    """The split of an image whose corpus has none: a function of its id and the `config.Shares` alone."""
    place = stable_hash(f"split {id}") / 2**64
    return "test" if place < shares.test else "val" if place < shares.test + shares.val else "train"


def open_source(config):
    """The reader for a `keras_sat.config.Prepare`.

    Raises:
        UserError: a source that the reader, or Beam, cannot open.
    """
    from pipeline.sources.coco import CocoSource
    from pipeline.sources.flickr8k import Flickr8kSource
    from pipeline.sources.flickr30k import Flickr30kSource
    from pipeline.sources.folder import FolderSource
    from pipeline.sources.karpathy import KarpathySource
    from pipeline.sources.scenes import ScenesSource

    readers = {
        "scenes": ScenesSource,
        "flickr8k": Flickr8kSource,
        "flickr30k": Flickr30kSource,
        "coco": CocoSource,
        "karpathy": KarpathySource,
        "folder": FolderSource,
    }
    try:
        return readers[config.dataset](config)
    except ValueError as error:  # Beam's: no file system for such a path
        raise UserError(f"{config.source}: cannot be opened ({error})") from error
