import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_sat")
class UniformAttention(keras.layers.Layer):
    """The control experiment: every region weighs 1 / L, so the context is the mean annotation.

    It is called as `AdditiveAttention` is.

    Example:
        >>> attention = UniformAttention()
        >>> keys = attention.keys(tf.random.normal([1, 4, 64]))
        >>> attention(tf.random.normal([1, 1, 32]), keys).numpy().tolist()
        [[[0.25, 0.25, 0.25, 0.25]]]
    """

    def keys(self, regions):
        return regions[..., :1]  # `call` needs the number of regions alone

    def call(self, hidden, keys):
        """Hidden states [B, …, H] to weights [B, …, L]."""
        regions = tf.shape(keys)[1:2]
        return tf.fill(
            tf.concat([tf.shape(hidden)[:-1], regions], 0), 1 / tf.cast(regions[0], tf.float32)
        )
