"""Workers that each read files of their own (`data.sharding: files`)."""

from dataclasses import dataclass

import tensorflow as tf

from keras_sat.errors import UserError


@dataclass(frozen=True)
class Part:
    """What one of `count` workers has of a data set: every `count`-th file, and as large a part of each batch."""

    index: int = 0
    count: int = 1

    def files(self, data, split):
        """The paths of its shards.

        Raises:
            UserError: there are fewer than workers.
        """
        shards = data.shards(split)
        if len(shards) < self.count:
            raise UserError(
                f"{data.folder}: {self.count} workers cannot share its {len(shards)} files of {split}; prepare it with a "
                "smaller --set shard_megabytes=…, or train with --set data.sharding=rows"
            )
        return shards[self.index :: self.count]

    def rows(self, rows_a_batch):
        """How many rows of a batch are its own.

        Raises:
            UserError: the workers' would not be equally many.
        """
        if rows_a_batch % self.count:
            raise UserError(
                f"data.batch_size: {self.count} workers cannot share its {rows_a_batch} rows equally; choose another, or "
                "train with --set data.sharding=rows"
            )
        return rows_a_batch // self.count


WHOLE = Part()


def dealt(batches, devices):
    """The batches of a worker with so many devices, each as an element for every one of them."""
    if devices == 1:
        return batches

    def deal(batch):
        split = tf.nest.map_structure(lambda tensor: tf.stack(tf.split(tensor, devices)), batch)
        return tf.data.Dataset.from_tensor_slices(split)

    return batches.flat_map(deal)


def not_empty(batch, rows):
    """The batch; where it has no rows, as a worker sees it whose files end before the others', `rows` empty captions."""

    def fill(tensor):
        shape = tf.shape(tensor)
        wanted = tf.where(tf.range(tf.size(shape)) == 0, rows, 1)
        padded = tf.pad(tensor, tf.stack([tf.zeros_like(shape), tf.where(shape == 0, wanted, 0)], axis=1))
        return tf.ensure_shape(padded, tensor.shape)

    return {name: fill(tensor) for name, tensor in batch.items()}
