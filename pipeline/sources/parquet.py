"""Parquet files with pictures, or with their paths, as Hugging Face's hub holds data sets."""

import os

from keras_sat.utils.errors import UserError
from pipeline.sources import files, streams, tables
from pipeline.sources.base import split_in_name
from pipeline.sources.looking import Seen
from pipeline.sources.parquet_table import ParquetTable


class ParquetSource(streams.StreamSource):
    """*.parquet with an image and a caption column, in the folder, in data/ or in split folders.

    A picture is bytes, {"bytes", "path"} or a path; a caption is a text or a list of texts. The
    name of a file or of its folder may say the split; else a hash does. Row groups are read one by
    one, a few rows at a time.

    Raises:
        UserError: there is no .parquet, or it lacks the columns.
    """

    published = False
    title = "Parquet with pictures and captions"

    def __init__(self, config):
        seen = Seen.at(config.source)
        self.folder = seen.folder
        self._columns = (config.image_column, config.caption_column)
        self._tables = [ParquetTable(path) for path in _files(seen)]
        if not self._tables:
            raise UserError(f"{config.source}: has no .parquet")
        for table in self._tables:
            _check_columns(table, *self._columns)

    @staticmethod
    def sees(seen, config):
        found = _files(seen)
        return found and f"{len(found)} .parquet file{'s' if len(found) > 1 else ''}"

    def shards(self):
        shards = []
        for index, table in enumerate(self._tables):
            for part in table.parts():
                shards.append((f"{index:05d}-{part[0]:05d}", (table, part)))
        return shards

    def read_shard(self, shard):
        table, part = shard
        name = table.path[len(self.folder) :].lstrip("/").removesuffix(".parquet")
        split = split_in_name(name)
        for number, row in table.rows(part):
            yield streams.sample_of(f"{name}/{number:07d}", split, row, *self._columns)

    def fingerprint(self):
        """The hash of the files' names and of their row groups' sizes and numbers."""
        return f"{type(self).__name__} {files.digest_of(self._contents())}"

    def _contents(self):
        for table in self._tables:
            yield f"{os.path.basename(table.path)} {table.summary()}"


def _check_columns(table, image_column, caption_column):
    columns = [name.lower() for name in table.columns()]
    for key, column in (
        ("image_column", tables.find_column(columns, tables.IMAGE, image_column)),
        ("caption_column", tables.caption_columns(columns, caption_column)),
    ):
        if not column:
            raise UserError(
                f"{table.path}: its columns are {', '.join(columns)}; name the right one with "
                f"--set {key}=NAME"
            )


def _files(seen):
    """The Parquet files in a folder and in the folders in it."""
    places = [seen] if seen.file else [seen, *seen.within()]
    found = []
    for place in places:
        found += place.files(".parquet")
    return found
