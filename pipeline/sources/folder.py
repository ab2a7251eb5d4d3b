"""A folder of pictures with a table of captions."""

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import rows, tables
from pipeline.sources.looking import Seen
from pipeline.sources.pictures import Pictures

FILES = ("captions.csv", "captions.jsonl", "captions.txt", "captions.tsv")


class FolderSource(rows.RowsSource):
    """Pictures, and a table with one row per caption or image.

    The table is captions.csv, .jsonl, .txt or .tsv, or the only file in the folder that is a table
    of pictures and captions; `source` may also name it. Its columns are image, caption and, where
    there are official splits, split; lines of JSON are objects with these keys, and `captions` may
    be a list. Without column names, the first cell is the image's name, IMAGE.jpg or IMAGE.jpg#N.

    The pictures' paths are relative to the folder, to one of the usual folders in it, or to that of
    `--images`. If no row gives an image's split, a hash of its path does. Pictures without a row
    are listed too.

    Raises:
        UserError: the folder has no such file.
    """

    published = False
    title = "pictures with a table of captions"

    def __init__(self, config):
        seen = Seen.at(config.source)
        super().__init__(config, seen.folder)
        table = table_of(seen, config)
        if table is None:
            raise UserError(
                f"{self.folder}: has no captions; expected {' or '.join(FILES)}, a table whose "
                f"first line names the columns image and caption; found {seen}"
            )
        self.lists_pictures = not seen.file
        self.take(rows.Placed(table, Pictures.under(self.roots.folders)))

    @staticmethod
    def sees(seen, config):
        table = table_of(seen, config)
        return table and f"{FileSystems.split(table.path)[1]} ({table})"


def table_of(seen, config):
    """The `tables.Table` of a folder, or None: the first of FILES, or the only table in it.

    Args:
        seen: a `looking.Seen`.
        config: a `keras_sat.config.Prepare`.
    """
    if seen.file:
        if not seen.file.lower().endswith(tables.SUFFIXES):
            return None
        return tables.look(FileSystems.join(seen.folder, seen.file), config)
    for name in FILES:
        if name in seen.names:
            return tables.look(FileSystems.join(seen.folder, name), config)
    found = []
    for path in seen.few(*tables.SUFFIXES):
        table = tables.look(path, config)
        if table:
            found.append(table)
    return found[0] if len(found) == 1 else None
