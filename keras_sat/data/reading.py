"""Records and captions of a prepared data set, one by one, and corrupt shards by name."""

import contextlib

import tensorflow as tf

from keras_sat.data import examples
from keras_sat.utils.errors import UserError


def read_records(data, split, limit=0):
    """The split's `Record`s, in stored order, `limit` of them (0 = all)."""
    for record in tf.data.TFRecordDataset(data.shards(split)).take(limit or -1):
        yield examples.deserialize(record.numpy())


def read_captions(data, split):
    """(source id, captions) of the split's images, in stored order; nothing else of them is parsed."""
    parse = tf.autograph.experimental.do_not_convert(lambda record: examples.parse(record, {}, data.quantisation))
    parsed = tf.data.TFRecordDataset(data.shards(split)).map(parse, tf.data.AUTOTUNE)
    for image in parsed.prefetch(64).as_numpy_iterator():
        yield image["source_id"].decode(), image["captions"]


def check_shards(paths):
    """Reads the shards to the end.

    Raises:
        UserError: naming the first shard that is corrupt.
    """
    for path in paths:
        try:
            for _ in tf.data.TFRecordDataset(path):
                pass
        except tf.errors.DataLossError as error:
            raise UserError(
                f"{path}: corrupt shard ({error.message.splitlines()[0]}); prepare the data set again"
            ) from error


@contextlib.contextmanager
def reading(data, *splits):
    """Around code that reads these splits: a corrupt shard becomes a `UserError` that names it."""
    try:
        yield
    except tf.errors.DataLossError:
        for split in splits:
            check_shards(data.shards(split))
        raise
