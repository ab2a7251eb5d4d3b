"""Batches for Keras' `fit`, in another order in each epoch."""

import contextlib
import dataclasses

import tensorflow as tf

from keras_sat.config import Data
from keras_sat.config.reader import build
from keras_sat.data.input_pipeline import count_batches, filled_up, order_seeds, ordered_batches
from keras_sat.data.prepared import PreparedData, open_prepared
from keras_sat.data.reading import reading
from keras_sat.text.vocabulary import Vocabulary
from keras_sat.utils.errors import UserError

_DEFAULT_GRAPH_SEED = 87654321  # TensorFlow's, of a graph that has none


class FitEpoch:
    """The epoch that `Captioner.fit` is in, by which `batches` orders the training captions.

    `fit` sets it before Keras asks for an epoch's first batch. So a `fit` that continues in the
    middle, by `initial_epoch` or by BackupAndRestore, gets the batches of the epoch that it is in.

    Attributes:
        number: counted from 0.
    """

    number = 0


@tf.autograph.experimental.do_not_convert
def batches(data, split="train", *, inputs=("features",), seed=1, **settings):
    """The batches of a prepared data set, for `fit`, `evaluate` and `predict`.

    The training split has another order in each epoch of `fit`, a function of the seed and of the
    epoch: that of the project's own trainer. Other splits are in the same order every time.

    Args:
        data: the folder of a prepared data set, or a `PreparedData`.
        split: the split's name.
        inputs: names of what the model reads, such as `model.input_shapes`.
        seed: int, decides the order.
        **settings: those of `keras_sat.config.Data`, such as `batch_size`, `batching`,
            `max_length` and `mirror`.

    Returns:
        A tf.data.Dataset of {each input: float32 [B, …], "captions": int32 [B, N, T], "row": int32
        [B]}. Its `len` is the number of batches per epoch.

    Raises:
        UserError: no such data set, split, input or setting, or a value out of range.
    """
    data = data if isinstance(data, PreparedData) else open_prepared(data)
    if "path" in settings or "sharding" in settings:
        raise UserError("batches: takes no path and no sharding; they are settings of a run")
    config = build(Data, settings, "batches")
    if split != "train":
        config = dataclasses.replace(config, mirror=False, crops=False)
    data.shards(split)  # raises for a split that does not exist
    data.check_inputs([*inputs, *config.stored_views(inputs)])
    vocabulary = Vocabulary.load(data.folder / "vocabulary.txt")

    def epoch_number():
        yield FitEpoch.number if split == "train" else 0

    @tf.autograph.experimental.do_not_convert
    def epoch_batches(epoch):
        # A shuffle's order depends on its graph's seed too. (A graph's seed of 0 is no plain
        # number to TensorFlow beside a tensor.)
        tf.compat.v1.set_random_seed(seed or _DEFAULT_GRAPH_SEED)
        seeds = tf.unstack(tf.cast(order_seeds(seed, epoch), tf.int64))
        return ordered_batches(data, config, vocabulary, seed, seeds, split, inputs)

    epochs = tf.data.Dataset.from_generator(
        epoch_number, output_signature=tf.TensorSpec([], tf.int32)
    )
    count = count_batches(data, config, split)
    numbered = epochs.flat_map(epoch_batches).map(lambda batch: filled_up(batch, 1))
    found = numbered.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2)
    setattr(found, _SOURCE, (data, split))
    return found


_SOURCE = "_keras_sat_source"  # the attribute of a dataset of `batches`: (its data, its split)


@contextlib.contextmanager
def reading_batches(*datasets):
    """A context for code that reads datasets: an error names the record, or its image.

    Args:
        *datasets: those that `batches` made, or that are made of them by `take`, `map` and so on.
            What else there may be is left alone.

    Raises:
        UserError: as `keras_sat.data.reading.reading`.
    """
    with contextlib.ExitStack() as stack:
        for data, split in _sources(datasets):
            stack.enter_context(reading(data, split))
        yield


def _sources(datasets):
    """(data, split) of each dataset of `batches` among these and those that they are made of."""
    found = []
    for dataset in datasets:
        if hasattr(dataset, _SOURCE):
            found.append(getattr(dataset, _SOURCE))
        elif isinstance(dataset, tf.data.Dataset):
            found += _sources(dataset._inputs())
    return found
