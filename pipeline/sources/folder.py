"""A folder of pictures with a file of captions."""

import csv
import json

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import files
from pipeline.sources.base import UNSPLIT, Item, split_by_hash

FILES = ("captions.csv", "captions.jsonl", "captions.txt")
IMAGE = ("image", "file", "filename", "file_name", "image_name", "path")
CAPTION = ("caption", "captions", "text", "comment")
SPLITS = {
    "train": "train",
    "val": "val",
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "test": "test",
}


class FolderSource(files.FileSource):
    """Pictures, their paths relative to the folder in the first of these files that is there; one line a caption:

    captions.csv      columns image, caption and, where there are official splits, split
    captions.jsonl    objects of these keys; `captions` may be a list
    captions.txt      IMAGE<tab>caption

    An image to which no line gives a split is given one by a hash of its path.

    Raises:
        UserError: a folder without such a file, or a csv without these columns.
    """

    def __init__(self, config):
        self._folder, self._shares = config.source, config.shares
        self._file = files.first_of(config.source, FILES, "captions")
        self.listings = (self._file,)

    def partitions(self):
        if self._file.endswith(
            ".csv"
        ):  # a quoted caption may go over several lines, so it cannot be cut
            return [(self._file, 0, float("inf"))]
        return files.ranges(self._file)

    def list_items(self, part):
        read = {"csv": _read_csv, "jsonl": _read_jsonl, "txt": _read_txt}[
            self._file.rsplit(".", 1)[-1]
        ]
        for place, row in read(part):
            image, captions, split = (_value(row, names) for names in (IMAGE, CAPTION, ("split",)))
            captions = [captions] if isinstance(captions, str) else captions
            if not image or not isinstance(image, str) or not _are_texts(captions):
                fault = f"malformed line: expected {IMAGE[0]} and {CAPTION[0]}, found {row.get('line', row)}"
                yield Item(f"{self._file}@{place}", UNSPLIT, fault=fault)
                continue
            split = split.strip().lower() if isinstance(split, str) else split
            if split and (not isinstance(split, str) or split not in SPLITS):
                yield Item(
                    image, UNSPLIT, fault=f"unknown split: {split!r}, expected train, val or test"
                )
                continue
            path, by_hash = (
                FileSystems.join(self._folder, image),
                split_by_hash(image, self._shares),
            )
            for index, text in enumerate(captions):
                yield Item(
                    image,
                    SPLITS.get(split or "", ""),
                    path,
                    (text,),
                    (place, index),
                    otherwise=by_hash,
                )


def _are_texts(captions):
    return (
        isinstance(captions, list)
        and captions
        and all(isinstance(caption, str) for caption in captions)
    )


def _value(row, names):
    return next((row[name] for name in names if name in row), None)


def _read_csv(part):
    """(line number, {column: value}) of a csv with a line of column names; comma, semicolon or tab separates."""
    path = part[0]
    texts = (text + "\n" for _, text in files.lines(*part))
    header = next(texts, "")
    delimiter = max(",;\t", key=header.count)
    columns = [
        column.strip().lower() for column in next(csv.reader([header], delimiter=delimiter), [])
    ]
    if not set(columns) & set(IMAGE) or not set(columns) & set(CAPTION):
        raise UserError(
            f"{path}: its first line names the columns {columns}; expected image,caption or image,caption,split"
        )
    rows = csv.reader(texts, delimiter=delimiter)
    try:
        for row in rows:
            if len(row) > len(columns):
                fault = f"{len(row)} cells in {len(columns)} columns (a caption with a {delimiter!r} needs quotes): {row}"
                yield rows.line_num, {"line": fault}
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
