"""Flickr8k and Flickr30k as Kaggle's users have uploaded them."""

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import flickr8k, flickr30k, rows, tables
from pipeline.sources.looking import Seen
from pipeline.sources.pictures import Pictures

FILE = "captions.txt"
FOLDERS = (*flickr8k.FOLDERS, *flickr30k.FOLDERS)


class KaggleSource(rows.RowsSource):
    """captions.txt with commas and the columns image,caption, and the pictures in Images/.

    Flickr30k's has the columns image_name,comment_number,comment. A hash of an image's name decides
    its split. (Flickr30k's results.csv with bars is read by `flickr30k`.)

    Raises:
        UserError: the folder has no such file or no pictures.
    """

    title = "Kaggle's Flickr8k or Flickr30k"

    def __init__(self, config):
        super().__init__(config, config.source)
        table = _table(Seen.at(config.source), config)
        if table is None:
            raise UserError(f"{config.source}: has no {FILE} whose first line is image,caption")
        pictures = Pictures([self.folder_of_pictures(FOLDERS)])
        self.take(rows.Placed(table, pictures))

    @staticmethod
    def sees(seen, config):
        folder = next((name for name in FOLDERS if seen.has(name)), None)
        table = _table(seen, config)
        return table and folder and f"{FILE} ({table}) and {folder}/"


def _table(seen, config):
    if seen.file or FILE not in seen.names:
        return None
    table = tables.look(FileSystems.join(seen.folder, FILE), config)
    is_kaggles = table and table.delimiter == "," and table.has_header
    return table if is_kaggles else None
