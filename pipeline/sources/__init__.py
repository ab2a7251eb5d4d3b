"""Where pictures and captions come from: one reader a corpus."""

import abc
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """An image before it is opened: all that may be shuffled. `captions` are those that the listing already knows."""

    id: str
    split: str
    path: str = ""
    captions: tuple[str, ...] = ()


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
        """The item's `keras_sat.data.examples.Record`, encoded picture and captions, without features.

        Raises:
            OSError: where the picture cannot be read.
        """

    @abc.abstractmethod
    def fingerprint(self):
        """A string that changes when the corpus does."""


def open_source(config):
    """The reader for a `keras_sat.config.Prepare`."""
    from pipeline.sources.scenes import ScenesSource

    return {"scenes": ScenesSource}[config.dataset](config)
