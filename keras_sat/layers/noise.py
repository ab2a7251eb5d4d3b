"""All randomness of a training step, without state."""

import zlib

import tensorflow as tf


class Noise:
    """Random draws that depend on (seed, step, name, row of the global batch) alone.

    So a resumed run and a run on other devices draw the same: a replica that holds rows 4–7 of the
    global batch draws what a single device draws for these rows. (TensorFlow's stateless generators
    fill a tensor front to back, so a draw of fewer rows is the beginning of a draw of more rows.
    tests/layers/test_noise.py checks this.)

    Attributes:
        training: whether this is a training step; true for every `Noise`, see `Silence`.
        draws: whether there are random draws at all.

    Args:
        seed: int.
        step: scalar integer tensor, the number of updates before this one.
        rows: int32 [B], the rows of the global batch that this replica holds.
    """

    training = True
    draws = True

    def __init__(self, seed, step, rows):
        self._seed = tf.random.experimental.stateless_fold_in(
            tf.constant([seed, 0], tf.int64), step
        )
        self._rows = rows

    def uniform(self, name, shape):
        """Uniform draws in [0, 1), float32 [B, *shape]; draws of another name are independent."""
        rows = tf.reduce_max(self._rows) + 1
        return tf.gather(tf.random.stateless_uniform([rows, *shape], self._fold(name)), self._rows)

    def shared(self, name):
        """One uniform draw in [0, 1) for the whole global batch, float32 []."""
        return tf.random.stateless_uniform([], self._fold(name))

    def _fold(self, name):
        return tf.random.experimental.stateless_fold_in(self._seed, zlib.crc32(name.encode()))

    def dropout(self, name, inputs, rate):
        """Inputs [B, …], a fraction `rate` set to zero and the others scaled by 1 / (1 − rate)."""
        if not rate:
            return inputs
        draws = self.uniform(name, tf.unstack(tf.shape(inputs))[1:])
        return _dropped(inputs, rate, draws)

    def channel_dropout(self, name, maps, rate):
        """`dropout` of whole channels of maps [B, …, D]: an image loses one at all places."""
        if not rate:
            return maps
        places = [1] * (maps.shape.rank - 2)
        draws = self.uniform(name, [*places, maps.shape[-1]])
        return _dropped(maps, rate, draws)

    def at(self, places, shape):
        """The noise of chosen elements.

        Args:
            places: integer [P], the places of the elements in a flattened tensor of this shape.
            shape: int32 tensor, [B, …].

        Returns:
            A noise whose `dropout` of inputs [P, D] drops what this one's drops of [*shape, D].
        """
        return _NoiseAt(self, places, shape)


class _NoiseAt:
    training = True
    draws = True

    def __init__(self, noise, places, shape):
        self._noise = noise
        self._places = places
        self._shape = shape

    def dropout(self, name, inputs, rate):
        if not rate:
            return inputs
        size = inputs.shape[-1]
        everywhere = self._noise.uniform(name, [*tf.unstack(self._shape)[1:], size])
        draws = tf.gather(tf.reshape(everywhere, [-1, size]), self._places)
        return _dropped(inputs, rate, draws)


def _dropped(inputs, rate, draws):
    return tf.where(
        draws >= rate, inputs / tf.cast(1 - rate, inputs.dtype), tf.zeros([], inputs.dtype)
    )


class Silence:
    """The absence of noise: every tensor passes unchanged.

    Args:
        training: whether this is a training step. It decides on what differs between training and
            inference besides noise, such as the strides of `layers.Grid`. In inference the answer
            for an image must not depend on the other images of its batch, to the last bit.
    """

    draws = False

    def __init__(self, training):
        self.training = training

    def dropout(self, name, inputs, rate):
        return inputs

    def channel_dropout(self, name, maps, rate):
        return maps

    def at(self, places, shape):
        return self


SILENCE = Silence(training=False)
SILENT_TRAINING = Silence(training=True)


def image_seeds(summary):
    """A number of each image that depends on its summary alone, not on the batch it is in.

    Args:
        summary: [B, S].

    Returns:
        int32 [B].
    """
    # Rounded, since the last bits of the CNN's output do depend on the batch.
    rounded = tf.cast(tf.round(summary * 16), tf.int32)
    factors = tf.random.stateless_uniform(tf.shape(summary)[-1:], [0, 0], None, None, tf.int32)
    return tf.reduce_sum(rounded * factors, axis=-1)


def image_draws(seeds, shape):
    """Uniform draws in [0, 1) by a seed per image: seeds integer [B, 2] → float32 [B, *shape]."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform(shape, seed), seeds, fn_output_signature=tf.float32
    )


def place(shares, draws):
    """The index that a uniform draw chooses, with probability proportional to its share.

    An index whose share is zero is never chosen, unless all shares are zero, as in the steps of a
    caption that a recurrence left out: then it is the last index.

    Args:
        shares: [..., M], of any sum.
        draws: [...], in [0, 1).

    Returns:
        int32 [...].
    """
    cumulative = tf.cumsum(shares, axis=-1)
    below = cumulative[..., :-1] <= draws[..., None] * cumulative[..., -1:]
    return tf.reduce_sum(tf.cast(below, tf.int32), axis=-1)
