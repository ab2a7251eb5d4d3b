"""Data sets by name: TensorFlow Datasets and Hugging Face's hub. Both packages are optional."""

import os

from keras_sat.utils import extras
from keras_sat.utils.errors import UserError
from pipeline.sources import streams
from pipeline.sources.base import split_in_name


class TfdsSource(streams.StreamSource):
    """tfds:NAME, such as tfds:coco_captions, with an image and a text feature.

    Reference: https://www.tensorflow.org/datasets

    Raises:
        UserError: the package is not installed, or has no such data set.
    """

    title = "TensorFlow Datasets"

    def __init__(self, config):
        self._name = _name(config, "tfds")
        self._columns = (config.image_column, config.caption_column)
        try:
            builder = self._builder()
            builder.download_and_prepare()
        except UserError:
            raise
        except Exception as error:  # whatever a data set's own code raises
            raise UserError(f"{config.source}: {_first_line(error)}") from error
        self._shards = {}
        for split, info in builder.info.splits.items():
            self._shards[split] = info.num_shards
        self._version = f"{builder.info.full_name} {dict(self._shards)}"

    def _builder(self):
        return extras.tensorflow_datasets().builder(self._name)

    def shards(self):
        shards = []
        for split, count in self._shards.items():
            shards += [(f"{split}-{index:05d}", (split, index)) for index in range(count)]
        return shards

    def read_shard(self, shard):
        tfds = extras.tensorflow_datasets()
        split, index = shard
        builder = self._builder()
        decoders = {}
        for name, feature in builder.info.features.items():
            if isinstance(feature, tfds.features.Image):
                decoders[name] = tfds.decode.SkipDecoding()
        part = f"{split}[{index}shard:{index + 1}shard]"
        rows = tfds.as_numpy(builder.as_dataset(split=part, decoders=decoders))
        for number, row in enumerate(rows):
            id = f"{split}/{index:05d}-{number:07d}"
            values = {name: _as_text(value, name in decoders) for name, value in row.items()}
            yield streams.sample_of(id, split_in_name(split), values, *self._columns)

    def fingerprint(self):
        return f"{type(self).__name__} {self._version}"


def _as_text(value, is_picture):
    """TFDS' bytes and arrays of bytes as texts and lists of texts; pictures stay bytes."""
    if is_picture:
        return value
    if isinstance(value, dict):
        return {name: _as_text(each, False) for name, each in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [_as_text(each, False) for each in value]
    return value


class HfSource(streams.StreamSource):
    """hf:NAME, a data set of Hugging Face's hub or a local folder, with an image and a text column.

    Its shards are streamed.

    Reference: https://huggingface.co/docs/datasets

    Raises:
        UserError: the package is not installed, or has no such data set.
    """

    title = "Hugging Face's datasets"

    def __init__(self, config):
        self._name = _name(config, "hf")
        self.folder = self._name if os.path.isdir(self._name) else ""
        self._columns = (config.image_column, config.caption_column)
        datasets = extras.hugging_face_datasets()
        try:
            found = datasets.load_dataset(self._name, streaming=True)
            builder = datasets.load_dataset_builder(self._name)
        except Exception as error:  # whatever a data set's own code raises
            raise UserError(f"{config.source}: {_first_line(error)}") from error
        self._counts = {split: part.num_shards for split, part in found.items()}
        self._version = f"{self._name} {builder.hash} {self._counts}"

    def shards(self):
        shards = []
        for split, count in self._counts.items():
            shards += [(f"{split}-{index:05d}", (split, index)) for index in range(count)]
        return shards

    def read_shard(self, shard):
        datasets = extras.hugging_face_datasets()
        split, index = shard
        part = datasets.load_dataset(self._name, split=split, streaming=True)
        part = part.shard(self._counts[split], index)
        image_column, caption_column = self._columns
        for name, feature in (part.features or {}).items():
            if isinstance(feature, datasets.Image):
                part = part.cast_column(name, datasets.Image(decode=False))
                image_column = image_column or name
        for number, row in enumerate(part):
            id = f"{split}/{index:05d}-{number:07d}"
            yield streams.sample_of(id, split_in_name(split), row, image_column, caption_column)

    def fingerprint(self):
        return f"{type(self).__name__} {self._version}"


def _name(config, prefix):
    return config.source.removeprefix(f"{prefix}:")


def _first_line(error):
    return str(error).strip().split("\n")[0][:300] or type(error).__name__
