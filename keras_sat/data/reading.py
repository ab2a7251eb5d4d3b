"""A prepared data set's records and captions, image by image."""

import contextlib

import numpy as np
import tensorflow as tf

from keras_sat.data import examples
from keras_sat.data.prepared import AGAIN
from keras_sat.utils.errors import UserError


def read_records(data, split, limit=0):
    """The `Record`s of a split, in stored order.

    Args:
        data: a `PreparedData`.
        split: its name.
        limit: how many to read; 0 for all.
    """
    for record in tf.data.TFRecordDataset(data.shards(split)).take(limit or -1):
        yield examples.deserialize(record.numpy())


def read_captions(data, split):
    """(source id, captions) of a split's images, in stored order. Nothing else is parsed.

    Args:
        data: a `PreparedData`.
        split: its name.
    """

    @tf.autograph.experimental.do_not_convert
    def parse(record):
        return examples.parse(record, {}, data.quantisation)

    parsed = tf.data.TFRecordDataset(data.shards(split)).map(parse, tf.data.AUTOTUNE)
    for image in parsed.prefetch(64).as_numpy_iterator():
        yield bytes(image["source_id"]).decode(), image["captions"]


@contextlib.contextmanager
def reading(data, *splits):
    """A context for code that reads these splits: an error names the record, or its image.

    Raises:
        UserError: a shard is corrupt, or a record holds numbers that are not finite.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError):
        for split in splits:
            check_shards(data.shards(split))
            check_finite(data.shards(split))
        raise


def check_shards(paths):
    """Reads shards to the end.

    Raises:
        UserError: naming the first record that is corrupt.
    """
    for path in paths:
        fault = shard_fault(path)
        if fault:
            raise UserError(f"{fault}; {AGAIN}")


def shard_fault(path, images=None):
    """What is wrong with a shard: one line that names the record and its image, or None.

    Args:
        path: the shard's file.
        images: how many it should hold; None for any number.
    """
    number = 0
    offset = 0
    previous = None
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            number += 1
            if not examples.is_whole(record):
                return f"{path}: record {number} is corrupt: no image"
            previous = examples.source_id(record)
            offset += _HEADER + len(record) + _FOOTER
    except tf.errors.DataLossError:
        image = _image_at(path, offset)
        named = f"image {image}" if image else f"the image after {previous or 'the start'}"
        return f"{path}: record {number + 1} is corrupt: {named}"
    if images is not None and number != images:
        return f"{path}: holds {number} images instead of {images}"
    return None


_HEADER = 12  # bytes of a TFRecord before its data: length, checksum of the length
_FOOTER = 4  # bytes behind it: checksum of the data


def _image_at(path, offset):
    """The id of the image in the record at an offset of a shard, None if it cannot be read."""
    with open(path, "rb") as file:
        file.seek(offset)
        header = file.read(_HEADER)
        length = int.from_bytes(header[:8], "little")
        rest = file.read()
    return examples.source_id(rest[:length])


def check_finite(paths):
    """Checks that all numbers in the records of shards are finite.

    Raises:
        UserError: naming the first record where one is not.
    """
    for path in paths:
        for number, serialized in enumerate(tf.data.TFRecordDataset(path)):
            record = examples.deserialize(serialized.numpy())
            for name in (*examples.MAPS, "proposals"):
                if not _all_finite(getattr(record, name) or ()):
                    raise UserError(
                        f"{path}: record {number}, image {record.source_id}: its {name} hold "
                        f"numbers that are not finite; {AGAIN}"
                    )


def _all_finite(arrays):
    return all(each is None or np.all(np.isfinite(each)) for each in arrays)
