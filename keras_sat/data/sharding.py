"""Workers that each read files of their own (`data.sharding: files`).

The workers' lengths of captions differ at a step, and noise is drawn for all words of a batch in one go: such workers do not
draw what one device would draw for their rows, and some of their numbers are the same.
"""

from dataclasses import dataclass

import tensorflow as tf

from keras_sat.utils.errors import UserError


@dataclass(frozen=True)
class Part:
    """What one of `count` workers has of a data set: some of its files, and as large a part of each batch as the others."""

    index: int = 0
    count: int = 1

    def files(self, data, split):
        """The paths of its shards: as equally many images for each worker as whole files allow.

        Raises:
            UserError: there are fewer files than workers.
        """
        paths, chosen = data.shards(split), _deal(data, split, self.count)[self.index]
        return [paths[number] for number in chosen]

    def longest(self, data, split):
        """How many times the mean worker's images the worker with the most of them has: so much longer is an epoch."""
        images = [
            sum(_images(data, split, number) for number in files)
            for files in _deal(data, split, self.count)
        ]
        return max(images) * self.count / sum(images)

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


def _deal(data, split, count):
    """The numbers of a split's files for each of so many workers: the largest first, each to whom has the fewest images."""
    shards = range(len(data.manifest["splits"][split]))
    if len(shards) < count:
        raise UserError(
            f"{data.folder}: {count} workers cannot share its {len(shards)} files of {split}; prepare it with a smaller "
            "--set shard_megabytes=…, or train with --set data.sharding=rows"
        )
    files, images = [[] for _ in range(count)], [0] * count
    for number in sorted(shards, key=lambda number: -_images(data, split, number)):
        worker = images.index(min(images))
        files[worker].append(number)
        images[worker] += _images(data, split, number)
    return [sorted(each) for each in files]


def _images(data, split, number):
    return data.manifest["splits"][split][number]["images"]


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
        padded = tf.pad(
            tensor, tf.stack([tf.zeros_like(shape), tf.where(shape == 0, wanted, 0)], axis=1)
        )
        return tf.ensure_shape(padded, tensor.shape)

    return {name: fill(tensor) for name, tensor in batch.items()}
