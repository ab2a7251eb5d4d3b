"""Workers that each read files of their own (`data.sharding: files`).

At a step, the workers' captions differ in length, and noise is drawn for all words of a batch at
once. So these workers do not draw the noise that one device would draw for their rows, and some of
their random numbers coincide.
"""

from dataclasses import dataclass

import tensorflow as tf

from keras_sat.utils.errors import UserError


@dataclass(frozen=True)
class Part:
    """A worker's part of a data set: some of its files, and an equal share of each batch's rows.

    Attributes:
        index: the worker's number.
        count: how many workers share the data set.
    """

    index: int = 0
    count: int = 1

    def files(self, data, split):
        """The paths of the worker's shards.

        Whole shards are dealt out so that workers have about the same number of images.

        Args:
            data: a `PreparedData`.
            split: its name.
        Raises:
            UserError: there are fewer files than workers.
        """
        paths = data.shards(split)
        numbers = _deal(data, split, self.count)[self.index]
        return [paths[number] for number in numbers]

    def longest(self, data, split):
        """The largest number of images that a worker has, in units of the workers' mean.

        An epoch takes longer by this factor than if the images were shared equally.
        """
        images = []
        for numbers in _deal(data, split, self.count):
            images.append(sum(_images(data, split, number) for number in numbers))
        return max(images) * self.count / sum(images)

    def rows(self, rows_per_batch):
        """How many rows of a batch are the worker's.

        Raises:
            UserError: the workers would not have equally many.
        """
        if rows_per_batch % self.count:
            raise UserError(
                f"data.batch_size: {self.count} workers cannot share its {rows_per_batch} rows "
                "equally; choose another, or train with --set data.sharding=rows"
            )
        return rows_per_batch // self.count


WHOLE = Part()


def _deal(data, split, count):
    """The numbers of a split's files for each of `count` workers.

    The largest file is dealt first, each to the worker that has the fewest images so far.
    """
    shards = range(len(data.manifest["splits"][split]))
    if len(shards) < count:
        raise UserError(
            f"{data.folder}: {count} workers cannot share its {len(shards)} files of {split}; "
            "prepare it with a smaller --set shard_megabytes=…, or train with "
            "--set data.sharding=rows"
        )
    files = [[] for _ in range(count)]
    images = [0] * count
    for number in sorted(shards, key=lambda number: -_images(data, split, number)):
        worker = images.index(min(images))
        files[worker].append(number)
        images[worker] += _images(data, split, number)
    return [sorted(numbers) for numbers in files]


def _images(data, split, number):
    return data.manifest["splits"][split][number]["images"]


def dealt(batches, devices):
    """A worker's batches as one element per device.

    Args:
        batches: a tf.data.Dataset whose batches have a multiple of `devices` rows.
        devices: how many devices the worker has.
    """
    if devices == 1:
        return batches

    def deal(batch):
        split = tf.nest.map_structure(lambda tensor: tf.stack(tf.split(tensor, devices)), batch)
        return tf.data.Dataset.from_tensor_slices(split)

    return batches.flat_map(deal)


def not_empty(batch, rows):
    """The batch, or `rows` empty captions in place of a batch without rows.

    A worker gets batches without rows when its files end before the others'.

    Args:
        batch: {name: tensor [B, …]}.
        rows: int.
    """

    def fill(tensor):
        shape = tf.shape(tensor)
        wanted = tf.where(tf.range(tf.size(shape)) == 0, rows, 1)
        missing = tf.where(shape == 0, wanted, 0)
        padded = tf.pad(tensor, tf.stack([tf.zeros_like(shape), missing], axis=1))
        return tf.ensure_shape(padded, tensor.shape)

    return {name: fill(tensor) for name, tensor in batch.items()}
