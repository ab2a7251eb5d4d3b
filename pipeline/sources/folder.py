"""A folder of pictures with a file of captions."""

import csv
import dataclasses
import json

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import files
from pipeline.sources.base import UNSPLIT, Item, split_by_hash

FILES = ("captions.csv", "captions.jsonl", "captions.txt")
IMAGE = ("image", "file", "filename", "file_name", "image_name", "path")
CAPTION = ("caption", "captions", "text", "comment")
SPLIT = ("split",)
SPLITS = {
    "train": "train",
    "val": "val",
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "test": "test",
}


class FolderSource(files.FileSource):
    """Pictures, and one line per caption in the first of these files that the folder has:

    captions.csv      columns image, caption and, where there are official splits, split
    captions.jsonl    objects with these keys; `captions` may be a list
    captions.txt      IMAGE<tab>caption

    The pictures' paths are relative to the folder. If no line gives an image's split, a hash of its
    path does.

    Raises:
        UserError: the folder has no such file, or its csv does not have these columns.
    """

    def __init__(self, config):
        self._folder = config.source
        self._shares = config.shares
        self._file = files.first_of(config.source, FILES, "captions")
        self.listings = (self._file,)

    def partitions(self):
        if self._file.endswith(".csv"):
            # A quoted caption may span several lines, so that the file cannot be cut.
            return [(self._file, 0, float("inf"))]
        return files.ranges(self._file)

    def list_items(self, part):
        suffix = self._file.rsplit(".", 1)[-1]
        rows = {"csv": _read_csv, "jsonl": _read_jsonl, "txt": _read_txt}[suffix](part)
        for place, row in rows:
            yield from self._items(place, row)

    def _items(self, place, row):
        """The items of one row, one per caption, or the one item that says what is wrong with it.

        Args:
            place: the row's place in the file.
            row: {column: value}, or {"line": what was found instead}.
        """
        image = _value(row, IMAGE)
        captions = _value(row, CAPTION)
        split = _value(row, SPLIT)
        if isinstance(captions, str):
            captions = [captions]
        if not image or not isinstance(image, str) or not _are_texts(captions):
            expected = f"expected {IMAGE[0]} and {CAPTION[0]}"
            fault = f"malformed line: {expected}, found {row.get('line', row)}"
            return [Item(f"{self._file}@{place}", UNSPLIT, fault=fault)]
        if isinstance(split, str):
            split = split.strip().lower()
        if split and not (isinstance(split, str) and split in SPLITS):
            fault = f"unknown split: {split!r}, expected train, val or test"
            return [Item(image, UNSPLIT, fault=fault)]
        item = Item(
            image,
            split=SPLITS[split] if split else "",
            path=FileSystems.join(self._folder, image),
            otherwise=split_by_hash(image, self._shares),
        )
        return [
            dataclasses.replace(item, captions=(text,), order=(place, index))
            for index, text in enumerate(captions)
        ]


def _are_texts(captions):
    """Whether this is a non-empty list of texts."""
    if not isinstance(captions, list) or not captions:
        return False
    return all(isinstance(caption, str) for caption in captions)


def _value(row, names):
    """The value of the first of these columns that the row has, or None."""
    return next((row[name] for name in names if name in row), None)


def _read_csv(part):
    """Yields (line number, {column: value}) of a csv that begins with a line of column names.

    The columns are separated by commas, semicolons or tabs.
    """
    path = part[0]
    texts = (text + "\n" for _, text in files.lines(*part))
    header = next(texts, "")
    delimiter = max(",;\t", key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    columns = [name.strip().lower() for name in names]
    if not set(columns) & set(IMAGE) or not set(columns) & set(CAPTION):
        raise UserError(
            f"{path}: its first line names the columns {columns}; "
            "expected image,caption or image,caption,split"
        )
    rows = csv.reader(texts, delimiter=delimiter)
    try:
        for row in rows:
            if len(row) > len(columns):
                found = (
                    f"{len(row)} cells in {len(columns)} columns "
                    f"(a caption with a {delimiter!r} needs quotes): {row}"
                )
                yield rows.line_num, {"line": found}
            else:
                yield rows.line_num, dict(zip(columns, row))
    except csv.Error as error:
        raise UserError(
            f"{path}: not CSV at line {rows.line_num + 1} ({error}); is a quote not closed?"
        ) from error


def _read_jsonl(part):
    for offset, line in files.lines(*part):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = line[:60]
        yield offset, row if isinstance(row, dict) else {"line": row}


def _read_txt(part):
    for offset, line in files.lines(*part):
        image, tab, caption = line.partition("\t")
        yield offset, {"image": image, "caption": caption} if tab else {"line": line[:60]}
