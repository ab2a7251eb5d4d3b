import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_sat")
class WordPositions(keras.layers.Layer):
    """A vector for each position in a caption, to be added to the word vector there.

    Positions beyond the last one share its vector.

    Args:
        count: the number of positions.
        size: E, the size of the vectors.
        kind: `sinusoidal` or `learned`.

    Example:

        >>> WordPositions(40, 8)(tf.range(5)).shape
        TensorShape([5, 8])

    Reference: Vaswani et al. 2017, section 3.5.
    """

    def __init__(self, count, size, kind="sinusoidal", **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.size = size
        self.kind = kind

    def get_config(self):
        return super().get_config() | {"count": self.count, "size": self.size, "kind": self.kind}

    def build(self, input_shape):
        if self.kind == "learned":
            self._table = self.add_weight(
                "positions",
                [self.count, self.size],
                initializer=keras.initializers.RandomNormal(stddev=0.02),
            )
        else:
            self._table = _sinusoids(self.count, self.size).astype(np.float32)
        self.built = True

    def call(self, positions):
        known = tf.minimum(positions, self.count - 1)
        return tf.cast(tf.gather(self._table, known), self.compute_dtype)


def _sinusoids(count, size):
    """PE(t, 2i) = sin(t / 10000^(2i / size)), PE(t, 2i + 1) the cosine; float64 [count, size]."""
    rates = 10000.0 ** -(2 * (np.arange(size) // 2) / size)
    angles = np.arange(count)[:, None] * rates
    return np.where(np.arange(size) % 2 == 0, np.sin(angles), np.cos(angles))
