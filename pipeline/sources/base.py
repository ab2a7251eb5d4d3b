"""The interface of a corpus reader: the items that it lists and the records that it loads."""

import abc
import hashlib
from dataclasses import dataclass

SPLITS = ("train", "val", "test")
UNSPLIT = "unsplit"  # the split of what the corpus assigns to none; it is listed as a failure


@dataclass(frozen=True)
class Item:
    """What one place of a corpus says of an image before the image is opened.

    Only items are shuffled. Items of the same id are merged.

    Attributes:
        id: the image's id.
        split: the image's split; empty where this place does not give one.
        path: the picture's path; empty where this place does not give one.
        captions: as found in the corpus. Bytes that are not UTF-8 are kept as surrogates.
        order: sort key of the caption among the image's captions. No two captions share one.
        fault: why the image is left out, as `reason: detail`. If the item has captions, only
            these are left out.
        otherwise: the split of the image where no place gives one.
    """

    id: str
    split: str = ""
    path: str = ""
    captions: tuple[str, ...] = ()
    order: tuple = ()
    fault: str = ""
    otherwise: str = ""


class Source(abc.ABC):
    """A corpus.

    It is pickled to the workers, which list its partitions and load its items in parallel. A new
    reader takes a `keras_sat.config.Prepare` as its only argument. It is one file in this folder, a
    line in `registry.READERS`, and a name in the choices of `Prepare.dataset`.
    """

    @abc.abstractmethod
    def partitions(self):
        """The parts that can be listed independently, any picklable values."""

    @abc.abstractmethod
    def list_items(self, partition):
        """The `Item`s of one partition, in any order."""

    @abc.abstractmethod
    def load(self, item):
        """The merged item's `keras_sat.data.examples.Record`: encoded picture, captions, phrases.

        Raises:
            OSError: the picture cannot be read.
        """

    @abc.abstractmethod
    def fingerprint(self):
        """A string that changes when the corpus does."""


def stable_hash(text):
    """A 64-bit number that depends on nothing but the text."""
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big")


def split_by_hash(id, shares):
    """The split of an image whose corpus assigns none.

    Args:
        id: the image's id. The split depends on it and on the shares alone.
        shares: a `keras_sat.config.Shares`.
    """
    place = stable_hash(f"split {id}") / 2**64
    if place < shares.test:
        return "test"
    if place < shares.test + shares.val:
        return "val"
    return "train"
