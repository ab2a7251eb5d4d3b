"""The account of a preparation: how many pictures and captions were read, kept and left out.

A failure is {"id", "stage", "error", "left_out"}: `error` is `reason: detail`, `left_out` says what
it leaves out: a picture, a caption or nothing. A left-out caption's text is in "caption".
"""

import collections
import itertools
from dataclasses import dataclass, field

from keras_sat.text.encoding import printable
from keras_sat.utils.errors import UserError
from pipeline.sources.base import CAPTION, PICTURE

IN_NO_SPLIT = "in no split"
WITH_PICTURE = "its picture is left out"


def failure(id, error, left_out=PICTURE, caption=None):
    """A failure as sidecars hold it."""
    found = {"id": printable(id), "stage": "ExampleGen"}
    found["error"] = printable(" ".join(error.split())[:300])
    found["left_out"] = left_out
    if caption is not None:
        found["caption"] = printable(caption[:200])
    return found


def reason_of(failure):
    return failure["error"].partition(":")[0]


@dataclass
class Count:
    """The account of the pictures, or of the captions.

    Attributes:
        read: how many the corpus has.
        kept: how many the data set has.
        left_out: {reason: how many were left out for it}.
    """

    read: int = 0
    kept: int = 0
    left_out: collections.Counter = field(default_factory=collections.Counter)

    def as_dict(self):
        left_out = dict(self.left_out.most_common())
        return {"read": self.read, "kept": self.kept, "left_out": left_out}

    def __str__(self):
        total = self.left_out.total()
        text = f"{self.read:,} read, {self.kept:,} kept, {total:,} left out"
        return f"{text} ({reasons(self.left_out)})" if total else text


@dataclass
class Account:
    """What became of the pictures and captions of a corpus.

    Attributes:
        pictures: the `Count` of the pictures.
        captions: the `Count` of the captions.
        failures: all failures, to name one.
    """

    pictures: Count
    captions: Count
    failures: list

    def check_sum(self):
        """Checks that nothing was lost without a word.

        Raises:
            UserError: kept + left out is not what was read.
        """
        for name, count in (("pictures", self.pictures), ("captions", self.captions)):
            if count.kept + count.left_out.total() != count.read:
                raise UserError(
                    f"{name}: {count}, which does not add up: did the corpus change while it was "
                    "read? Run the same command again"
                )

    def check_limit(self, source, most):
        """Checks that no more is left out than allowed.

        Captions of left-out pictures and what the corpus puts in no split are not counted.

        Args:
            source: what was read, for the message.
            most: the greatest fraction that may be left out.

        Raises:
            UserError: there is no picture, or too many pictures or captions are left out.
        """
        if not self.pictures.kept and not self.pictures.left_out.total():
            found = self.captions.left_out
            text = f" ({reasons(found)}{self._first(CAPTION)})" if found else ""
            raise UserError(f"{source}: no image found{text}")
        for name, count, kind in (
            ("pictures", self.pictures, PICTURE),
            ("captions", self.captions, CAPTION),
        ):
            counted = +count.left_out
            counted.pop(IN_NO_SPLIT, None)
            counted.pop(WITH_PICTURE, None)
            unusable = counted.total()
            total = count.kept + unusable
            if unusable > most * total:
                raise UserError(
                    f"{unusable} of {total} {name} are unusable, more than max_failures {most:g} "
                    f"allows ({reasons(counted)}){self._first(kind)}"
                )
        if not self.pictures.kept:
            raise UserError(f"{source}: no usable image ({reasons(self.pictures.left_out)})")

    def _first(self, kind):
        """The end of a message: the first failure that leaves out such a thing."""
        for each in self.failures:
            if each["left_out"] == kind and reason_of(each) != IN_NO_SPLIT:
                return f"; the first: {each['id']}: {each['error']}"
        return ""

    def as_dict(self):
        return {"pictures": self.pictures.as_dict(), "captions": self.captions.as_dict()}

    def __str__(self):
        return f"pictures: {self.pictures}\ncaptions: {self.captions}"


def add_up(listed, sidecars, leaks):
    """The `Account` of a reading.

    Args:
        listed: {"pictures", "captions"}: how many the corpus lists.
        sidecars: the sidecars of all chunks.
        leaks: {chunk: [`leaks.Leak`]}.
    """
    pictures = Count(read=listed.get("pictures", 0))
    captions = Count(read=listed.get("captions", 0))
    failures = []
    for sidecar in sidecars:
        failures += sidecar["failures"]
        pictures.kept += sidecar["images"]
        captions.kept += sum(sidecar["captions"].values())
        captions.read += sidecar["added"]
        captions.left_out[WITH_PICTURE] += sidecar["dropped"]
    for leak in itertools.chain.from_iterable(leaks.values()):
        pictures.kept -= 1
        captions.kept -= leak.captions
        captions.left_out[WITH_PICTURE] += leak.captions
        failures.append(leak.failure)
    counts = {PICTURE: pictures, CAPTION: captions}
    for each in failures:
        if each["left_out"] in counts:
            counts[each["left_out"]].left_out[reason_of(each)] += 1
    captions.left_out = +captions.left_out
    return Account(pictures, captions, failures)


def reasons(counts):
    """`3 picture missing, 1 empty file`."""
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
