"""Hugging Face's ImageFolder: metadata files beside the pictures."""

from keras_sat.utils.errors import UserError
from pipeline.sources import parquet_table, rows, tables
from pipeline.sources.base import split_in_name
from pipeline.sources.looking import Seen
from pipeline.sources.pictures import Pictures

FILES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


class ImageFolderSource(rows.RowsSource):
    """metadata.csv, .jsonl or .parquet with file_name and text, in the folder or in split folders.

    `text` may be a list of texts, and may be called caption. The pictures' paths are relative to
    the metadata file. A folder named train, validation or test gives the split, else a hash does.

    Pictures without a row are listed too.

    Reference: https://huggingface.co/docs/datasets/image_dataset#imagefolder

    Raises:
        UserError: there is no metadata file.
    """

    published = False
    title = "Hugging Face's ImageFolder"

    def __init__(self, config):
        super().__init__(config, config.source)
        self.lists_pictures = True
        placed = []
        for seen, path in _metadata(Seen.at(config.source)):
            table = _table(path, config)
            name = seen.folder.rstrip("/")[len(config.source.rstrip("/")) :].strip("/")
            roots = [seen.folder, *self.roots.folders[1:]]
            placed.append(
                rows.Placed(
                    table,
                    Pictures(roots),
                    split=split_in_name(name),
                    prefix=f"{name}/" if name else "",
                )
            )
        if not placed:
            raise UserError(f"{config.source}: has none of {', '.join(FILES)}")
        self.take(*placed)

    @staticmethod
    def sees(seen, config):
        found = _metadata(seen)
        names = [path[len(seen.folder) :].strip("/") for _, path in found]
        return ", ".join(names)


def _metadata(seen):
    """[(`Seen` of its folder, path)] of the metadata files in a folder and in the folders in it."""
    found = []
    if not seen.file:
        for place in [seen, *seen.within()]:
            found += [(place, path) for path in place.files(*FILES)]
    return found


def _table(path, config):
    if path.endswith(".parquet"):
        return parquet_table.ParquetTable(path)
    table = tables.look(path, config)
    if table is None:
        raise UserError(f"{path}: its first line does not name the columns file_name and text")
    return table
