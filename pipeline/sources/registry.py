"""The readers by the name of their corpus, and how a folder's reader is found by looking."""

import dataclasses

from keras_sat.utils.errors import UserError
from pipeline.sources.coco import CocoSource
from pipeline.sources.downloads import HfSource, TfdsSource
from pipeline.sources.flickr8k import Flickr8kSource
from pipeline.sources.flickr30k import Flickr30kSource
from pipeline.sources.folder import FolderSource
from pipeline.sources.imagefolder import ImageFolderSource
from pipeline.sources.json_lists import JsonListSource
from pipeline.sources.kaggle import KaggleSource
from pipeline.sources.karpathy import KarpathySource
from pipeline.sources.looking import Seen, check_exists
from pipeline.sources.parquet import ParquetSource
from pipeline.sources.scenes import ScenesSource
from pipeline.sources.sidecars import SidecarSource
from pipeline.sources.tars import TarSource

AUTO = "auto"
DOWNLOADS = ("tfds", "hf")
# In the order in which a folder is held against them.
READERS = {
    "flickr8k": Flickr8kSource,
    "flickr30k": Flickr30kSource,
    "karpathy": KarpathySource,
    "kaggle": KaggleSource,
    "coco": CocoSource,
    "json": JsonListSource,
    "imagefolder": ImageFolderSource,
    "folder": FolderSource,
    "webdataset": TarSource,
    "parquet": ParquetSource,
    "sidecars": SidecarSource,
    "tfds": TfdsSource,
    "hf": HfSource,
    "scenes": ScenesSource,
}


def with_reader(config):
    """The settings with the dataset that `auto` finds by looking at the source.

    It is named in one line of output.

    Args:
        config: a `keras_sat.config.Prepare`.

    Raises:
        UserError: no reader knows the source. The message says what was seen.
    """
    if config.dataset != AUTO:
        return config
    for prefix in DOWNLOADS:
        if config.source.startswith(f"{prefix}:"):
            print(f"{config.source}: {READERS[prefix].title}")
            return dataclasses.replace(config, dataset=prefix)
    try:
        seen = Seen.at(config.source)
        found = {}
        for name, reader in READERS.items():
            what = reader.sees(seen, config)
            if what:
                found[name] = what
    except ValueError as error:  # from Beam: no file system for such a path
        raise UserError(f"{config.source}: cannot be opened ({error})") from error
    if not found:
        raise UserError(f"{config.source}: {_what_was_seen(seen)}")
    dataset, *others = found
    line = f"{config.source}: {READERS[dataset].title}: {found[dataset]}"
    if others:
        line += f"; may also be read with --dataset {' or '.join(others)}"
    print(line)
    return dataclasses.replace(config, dataset=dataset)


def _what_was_seen(seen):
    text = f"found {seen} and no captions that are known"
    if seen.pictures():
        text += "; put a captions.csv with the columns image,caption beside the pictures"
    return f"{text}; docs/data.md shows the folders that can be read"


def open_source(config):
    """The reader that a `keras_sat.config.Prepare` asks for.

    Raises:
        UserError: the reader, or Beam, cannot open the source.
    """
    config = with_reader(config)
    if config.dataset not in ("scenes", *DOWNLOADS):
        check_exists(config.source)
    try:
        return READERS[config.dataset](config)
    except ValueError as error:  # from Beam: no file system for such a path
        raise UserError(f"{config.source}: cannot be opened ({error})") from error
