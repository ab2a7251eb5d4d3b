"""A prepared data set's records and captions, image by image."""

import contextlib

import numpy as np
import tensorflow as tf

from keras_sat.data import examples
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
    """A context for code that reads these splits: an error names the shard or the image.

    Raises:
        UserError: a shard is corrupt, or a record holds numbers that are not finite.
    """
    try:
        yield
    except tf.errors.DataLossError:
        for split in splits:
            check_shards(data.shards(split))
        raise
    except tf.errors.InvalidArgumentError:
        for split in splits:
            check_finite(data.shards(split))
        raise


def check_shards(paths):
    """Reads shards to the end.

    Raises:
        UserError: naming the first shard that is corrupt.
    """
    for path in paths:
        try:
            for _ in tf.data.TFRecordDataset(path):
                pass
        except tf.errors.DataLossError as error:
            raise UserError(
                f"{path}: corrupt shard ({error.message.splitlines()[0]}); "
                "prepare the data set again"
            ) from error


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
                        "numbers that are not finite; prepare the data set again"
                    )


def _all_finite(arrays):
    return all(each is None or np.all(np.isfinite(each)) for each in arrays)
