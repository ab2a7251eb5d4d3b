"""Corpora whose pictures can be read in order only, not one by one."""

import abc
from dataclasses import dataclass

from pipeline.sources import tables
from pipeline.sources.base import Corpus


@dataclass(frozen=True)
class Sample:
    """An image as a stream gives it.

    Attributes:
        id: the image's id.
        split: its split; empty if the stream does not give one.
        captions: as found.
        picture: the encoded picture.
        path: the picture's file, where the stream only names it.
        fault: what is wrong with its captions; empty if nothing is.
    """

    id: str
    split: str = ""
    captions: tuple[str, ...] = ()
    picture: bytes = b""
    path: str = ""
    fault: str = ""


class StreamSource(Corpus):
    """A corpus in shards. `pipeline.preparation.staging` makes a tar of each before it is read.

    Attributes:
        folder: the folder that paths of pictures are relative to; empty if there is none.
    """

    folder = ""

    @abc.abstractmethod
    def shards(self):
        """[(name, shard)]: the parts that can be read independently, any picklable values."""

    @abc.abstractmethod
    def read_shard(self, shard):
        """Yields the `Sample`s of a shard."""


def sample_of(id, split, row, image_column, caption_column):
    """The `Sample` of a row {column: value}.

    Args:
        id: the image's id.
        split: its split, or "".
        row: the row. A picture is bytes, a path, or {"bytes", "path"}; captions are a text, a list
            of texts, or a dictionary that holds them.
        image_column: the column of the picture, or None.
        caption_column: the column of the captions, or None.
    """
    row = {name.lower(): value for name, value in row.items()}
    picture = row.get(tables.find_column(row, tables.IMAGE, image_column))
    path = ""
    if isinstance(picture, dict):
        path = picture.get("path") or ""
        picture = picture.get("bytes")
    if isinstance(picture, str):
        path = picture
    if isinstance(picture, bytes):
        path = ""
    else:
        picture = b""
    captions = []
    fault = "" if row else "no row"
    columns = tables.caption_columns(row, caption_column)
    for column in columns:
        found = tables.texts(_inner(row[column]))
        captions += found or []
        if not found:
            fault = f"{column} is {row[column]!r:.80}, no text"
    if not columns:
        fault = f"no column of captions among {', '.join(row)}; name it: --set caption_column=NAME"
    return Sample(id, split, tuple(captions), picture, path, fault)


def _inner(value):
    """The captions in a dictionary such as {"id": […], "text": […]}, or the value itself."""
    if isinstance(value, dict):
        column = tables.find_column(value, (*tables.CAPTION, "raw"))
        return value.get(column)
    return value
