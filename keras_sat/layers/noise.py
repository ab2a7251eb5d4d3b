"""All randomness of a training step, without state."""

import zlib

import tensorflow as tf


class Noise:
    """Random draws that depend on (seed, step, name, row of the global batch) alone.

    So a resumed run and a run on other devices draw the same: a replica that holds rows 4–7 of the global batch draws
    what a single device draws for these rows. (TensorFlow's stateless generators fill a tensor front to back: a draw of
    fewer rows is the beginning of a longer one. tests/test_noise.py holds it to that.)

    Args:
        seed: int.
        step: scalar integer tensor, the number of updates before this one.
        rows: int32 [B], the rows of the global batch that this replica holds.
    """

    draws = True

    def __init__(self, seed, step, rows):
        self._seed = tf.random.experimental.stateless_fold_in(
            tf.constant([seed, 0], tf.int64), step
        )
        self._rows = rows

    def uniform(self, name, shape):
        """Uniform draws in [0, 1), float32 [B, *shape]; another name gives independent ones."""
        rows = tf.reduce_max(self._rows) + 1
        return tf.gather(tf.random.stateless_uniform([rows, *shape], self._fold(name)), self._rows)

    def shared(self, name):
        """One uniform draw in [0, 1) for the whole global batch, float32 []."""
        return tf.random.stateless_uniform([], self._fold(name))

    def _fold(self, name):
        return tf.random.experimental.stateless_fold_in(self._seed, zlib.crc32(name.encode()))

    def dropout(self, name, inputs, rate):
        """Inputs [B, …] with a share `rate` of them set to zero and the others scaled up by 1 / (1 − rate)."""
        return _dropped(inputs, rate, lambda: self.uniform(name, tf.unstack(tf.shape(inputs))[1:]))

    def channel_dropout(self, name, maps, rate):
        """`dropout` of maps [B, …, D] by channels: an image loses one everywhere or nowhere."""
        return _dropped(
            maps, rate, lambda: self.uniform(name, [*[1] * (maps.shape.rank - 2), maps.shape[-1]])
        )

    def at(self, places, shape):
        """The noise of chosen elements: places int [P] in a flat tensor of this shape ([B, …]).

        Its `dropout` of inputs [P, D] does what this one's does to those of [*shape, D].
        """
        return _NoiseAt(self, places, shape)


class _NoiseAt:
    def __init__(self, noise, places, shape):
        self._noise, self._places, self._shape = noise, places, shape

    def dropout(self, name, inputs, rate):
        def draws():
            all = self._noise.uniform(name, [*tf.unstack(self._shape)[1:], inputs.shape[-1]])
            return tf.gather(tf.reshape(all, [-1, inputs.shape[-1]]), self._places)

        return _dropped(inputs, rate, draws)


def _dropped(inputs, rate, draws):
    if not rate:
        return inputs
    return tf.where(
        draws() >= rate, inputs / tf.cast(1 - rate, inputs.dtype), tf.zeros([], inputs.dtype)
    )


def image_seeds(summary):
    """int32 [B], a number of each image that depends on its summary [B, S] alone, not on the batch it is in."""
    # Rounded, since the CNN's last bits do depend on the batch.
    rounded = tf.cast(tf.round(summary * 16), tf.int32)
    factors = tf.random.stateless_uniform(tf.shape(summary)[-1:], [0, 0], None, None, tf.int32)
    return tf.reduce_sum(rounded * factors, axis=-1)


def image_draws(seeds, shape):
    """Uniform draws in [0, 1), float32 [B, *shape], each image's by its own seed: seeds integer [B, 2]."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform(shape, seed), seeds, fn_output_signature=tf.float32
    )


def place(shares, draws):
    """Where uniform draws [...] in [0, 1) fall among shares [..., M] of any sum, int32 [...]; never on a share of zero.

    Where all shares are zero, as behind the end of a caption that a recurrence left out, it is the last.
    """
    cumulative = tf.cumsum(shares, axis=-1)
    return tf.reduce_sum(
        tf.cast(cumulative[..., :-1] <= draws[..., None] * cumulative[..., -1:], tf.int32), axis=-1
    )


class Silence:
    """No noise."""

    draws = False

    def dropout(self, name, inputs, rate):
        return inputs

    channel_dropout = dropout

    def at(self, places, shape):
        return self


SILENCE = (
    Silence()
)  # of inference, where an image's answer must not depend on its batch mates, to the last bit
UNCHANGED = Silence()  # of training
