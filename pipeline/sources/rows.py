"""What the readers share whose captions are rows: of a table, or of a list in JSON."""

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from keras_sat.utils.errors import UserError
from pipeline.sources import files, tables
from pipeline.sources.base import (
    CAPTION,
    SPLIT_NAMES,
    UNSPLIT,
    Item,
    bad_line,
    split_by_hash,
)
from pipeline.sources.paths import is_local
from pipeline.sources.pictures import Pictures, walk

_PICTURES = "pictures without rows"  # a partition


class Rows(Protocol):
    """A file of rows, such as a `tables.Table` or a `parquet_table.ParquetTable`."""

    @property
    def path(self) -> str:
        """The file."""
        ...

    def parts(self) -> list:
        """The parts that workers share."""
        ...

    def rows(self, part) -> Iterator:
        """Yields (line number, {column: value} or what was found instead) of a part."""
        ...


@dataclass(frozen=True)
class Placed:
    """Rows, and what their place says of them.

    Attributes:
        table: the file of rows.
        pictures: where its pictures lie.
        split: the split of rows that name none; empty if unknown.
        prefix: what comes before the image's name in its id.
    """

    table: Rows
    pictures: Pictures
    split: str = ""
    prefix: str = ""


class RowsSource(files.FileSource):
    """Rows {column: value} of one caption or image each, as items.

    Attributes:
        shares: the fractions of the splits, where no row gives one.
        lists_pictures: whether pictures in the folder that no row names are listed, too.
    """

    lists_pictures = False

    def __init__(self, config, folder):
        super().__init__(config, folder)
        self.shares = config.shares
        self._image = config.image_column
        self._caption = config.caption_column
        self._placed: tuple[Placed, ...] = ()

    def take(self, *placed):
        """Notes the `Placed` tables to read.

        Raises:
            UserError: one leads outside of the roots.
        """
        self._placed = placed
        self.read_from(*(each.table.path for each in placed))

    def partitions(self):
        parts = []
        for index, each in enumerate(self._placed):
            parts += [(index, part) for part in each.table.parts()]
        return [*parts, _PICTURES] if self.lists_pictures else parts

    def list_items(self, partition):
        if partition == _PICTURES:
            return self._pictures_without_rows()
        return self._items_of(*partition)

    def _items_of(self, index, part):
        placed = self._placed[index]
        for number, row in placed.table.rows(part):
            yield from self._items(placed, number, row)

    def _pictures_without_rows(self):
        """Yields an item without a caption for each picture in the folder that no row names."""
        named = set()
        for partition in self.partitions():
            if partition != _PICTURES:
                named.update(_absolute(item.path) for item in self._items_of(*partition))
        for path in walk(self.folder):
            if _absolute(path) not in named:
                name = path[len(self.folder) :].lstrip("/")
                yield Item(name, path=path, otherwise=split_by_hash(name, self.shares))

    def _items(self, placed, line, row):
        """The items of one row, one per caption, or the one item that says what is wrong with it.

        Args:
            placed: the `Placed` table.
            line: the row's line number.
            row: {column: value}, or what was found instead.
        """
        place = f"{placed.table.path}:{line}"
        values = {}
        if isinstance(row, dict):
            values = {name.lower(): value for name, value in row.items()}
        image = values.get(tables.find_column(values, tables.IMAGE, self._image))
        captions = []
        for column in tables.caption_columns(values, self._caption):
            captions += tables.texts(values[column]) or [None]
        if not image or not isinstance(image, str) or not captions or None in captions:
            return [bad_line(place, row, f"expected image and caption, found {row}")]
        image, number = tables.numbered(image)
        number = values.get(tables.find_column(values, tables.NUMBER), number)
        number = int(number) if re.fullmatch("[0-9]{1,9}", str(number)) else 0
        if "/" in image and "\0" not in image:
            image = posixpath.normpath(image)  # ./a.jpg is a.jpg
        split, fault = _split(values.get(tables.find_column(values, tables.SPLIT)))
        try:
            path = placed.pictures.path(image)
        except UserError as error:
            path = ""
            fault = fault or str(error)
        id = placed.prefix + image
        items = []
        for index, caption in enumerate(captions):
            items.append(
                Item(
                    id,
                    split=UNSPLIT if fault else split or placed.split,
                    path=path,
                    captions=(caption,),
                    order=(number, line, index),
                    fault=fault,
                    left_out=CAPTION,
                    otherwise=split_by_hash(id, self.shares),
                )
            )
        return items


def _absolute(path):
    return os.path.abspath(path) if is_local(path) else path


def _split(value):
    """(the split that a cell names or "", what is wrong with it or "")."""
    if isinstance(value, str):
        value = value.strip().lower()
    if not value:
        return "", ""
    if isinstance(value, str) and value in SPLIT_NAMES:
        return SPLIT_NAMES[value], ""
    return "", f"unknown split: {value!r}, expected train, val or test"
