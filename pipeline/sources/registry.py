"""The readers by the name of their corpus."""

from keras_sat.utils.errors import UserError
from pipeline.sources.coco import CocoSource
from pipeline.sources.flickr8k import Flickr8kSource
from pipeline.sources.flickr30k import Flickr30kSource
from pipeline.sources.folder import FolderSource
from pipeline.sources.karpathy import KarpathySource
from pipeline.sources.scenes import ScenesSource

READERS = {
    "scenes": ScenesSource,
    "flickr8k": Flickr8kSource,
    "flickr30k": Flickr30kSource,
    "coco": CocoSource,
    "karpathy": KarpathySource,
    "folder": FolderSource,
}


def open_source(config):
    """The reader that a `keras_sat.config.Prepare` asks for.

    Raises:
        UserError: the reader, or Beam, cannot open the source.
    """
    try:
        return READERS[config.dataset](config)
    except ValueError as error:  # from Beam: no file system for such a path
        raise UserError(f"{config.source}: cannot be opened ({error})") from error
