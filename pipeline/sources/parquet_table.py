"""Rows of Parquet files, read by row groups."""

import zlib
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from keras_sat.utils.errors import UserError
from pipeline.sources.paths import open_file

_FOOTER = 1 << 16  # bytes at the end, which hold the statistics of the columns
_BATCH = 16  # rows that are held at once


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file of rows, as `tables.Table` is one of text."""

    path: str

    def parts(self):
        """The row groups, with the number of rows before each."""
        parts = []
        first = 0
        with open_file(self.path) as file:
            metadata = self._open(file).metadata
            for group in range(metadata.num_row_groups):
                parts.append((group, first))
                first += metadata.row_group(group).num_rows
        return parts

    def columns(self):
        """The names of the columns."""
        with open_file(self.path) as file:
            return tuple(self._open(file).schema_arrow.names)

    def summary(self):
        """A text that changes when the file does: its sizes and checksums of its last bytes."""
        with open_file(self.path) as file:
            metadata = self._open(file).metadata
            size = file.seek(0, 2)
            file.seek(max(0, size - _FOOTER))
            return f"{metadata.num_rows} {size} {zlib.crc32(file.read())}"

    def rows(self, part):
        """Yields (row number from 1, {column: value}) of a row group."""
        group, number = part
        with open_file(self.path) as file:
            batches = self._open(file).iter_batches(_BATCH, row_groups=[group])
            try:
                for batch in batches:
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
            except (OSError, pa.ArrowInvalid) as error:
                raise UserError(f"{self.path}: row {number + 1} is damaged ({error})") from error

    def _open(self, file):
        try:
            return pq.ParquetFile(file)
        except pa.ArrowInvalid as error:
            raise UserError(f"{self.path}: cannot be read as Parquet ({error})") from error
