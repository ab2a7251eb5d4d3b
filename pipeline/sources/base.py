"""The interface of a corpus reader: the items that it lists and the records that it loads."""

import abc
import hashlib
import re
from dataclasses import dataclass

SPLITS = ("train", "val", "test")
UNSPLIT = "unsplit"  # the split of what the corpus assigns to none; it is listed as a failure
# {a split's name in files, folders and columns: our name of it}
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "restval": "train",
    "val": "val",
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}

_LONGEST = 500  # characters of what is said of a malformed line

# What a fault leaves out. A fault that leaves out nothing is only reported.
PICTURE = "picture"
CAPTION = "caption"
NOTHING = "nothing"


@dataclass(frozen=True)
class Item:
    """What one place of a corpus says of an image before the image is opened.

    Only items are shuffled. Items of the same id are merged.

    Attributes:
        id: the image's id, or the place of a line that names no image.
        split: the image's split; empty where this place does not give one.
        path: the picture's path; empty where this place does not give one.
        captions: as found in the corpus. Bytes that are not UTF-8 are kept as surrogates.
        order: sort key of the caption among the image's captions.
        fault: why something is left out, as `reason: detail`.
        left_out: what the fault leaves out: the picture, this item's captions, or nothing.
        otherwise: the split of the image where no place gives one.
    """

    id: str
    split: str = ""
    path: str = ""
    captions: tuple[str, ...] = ()
    order: tuple = ()
    fault: str = ""
    left_out: str = PICTURE
    otherwise: str = ""

    @property
    def is_of_picture(self):
        """Whether the place speaks of an image. A malformed line does not."""
        return bool(self.path) or not self.fault or self.left_out == PICTURE


def bad_line(place, line, why):
    """The `Item` of a caption's line that cannot be read. It counts as one caption.

    Args:
        place: the file and the line, such as `captions.csv:12`.
        line: what stands there.
        why: what is wrong with it.
    """
    fault = f"malformed line: {why}"[:_LONGEST]
    text = str(line)[:_LONGEST]
    return Item(place, UNSPLIT, captions=(text,), fault=fault, left_out=CAPTION)


class Corpus(abc.ABC):
    """A corpus: its name in output, how it is recognised, and its fingerprint.

    A new reader takes a `keras_sat.config.Prepare` as its only argument. It is one file in this
    folder, a line in `registry.READERS`, and a name in `keras_sat.config.sections.Dataset`. It is
    a `Source`, or a `streams.StreamSource` if its pictures can be read in order only.

    Attributes:
        published: whether the corpus is a published one, which is taken as it is. Elsewhere
            repeated captions of an image and equal pictures within a split are anomalies.
        title: what this kind of corpus is called in output.
    """

    published = True
    title = ""

    @staticmethod
    def sees(seen, config):
        """What of this kind of corpus a folder has, in a few words; empty if it is none.

        Args:
            seen: a `looking.Seen`.
            config: a `keras_sat.config.Prepare`.
        """
        return ""

    @abc.abstractmethod
    def fingerprint(self):
        """A string that changes when the corpus does."""


class Source(Corpus):
    """A corpus whose items are listed first, and whose pictures are loaded one by one.

    It is pickled to the workers, which list its partitions and load its items in parallel.
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
            UserError: the picture must not be read.
        """


def stable_hash(text):
    """A 64-bit number that depends on nothing but the text."""
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
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


def split_in_name(name):
    """The split that a file's or folder's name tells, such as `val` of captions_val2014; or ""."""
    found = {
        SPLIT_NAMES[word] for word in re.findall("[a-z]+", name.lower()) if word in SPLIT_NAMES
    }
    return found.pop() if len(found) == 1 else ""
