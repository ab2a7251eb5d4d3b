import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_sat")
class GRU(keras.layers.Layer):
    """One step of a GRU whose input is [E y ; v]. Words are known beforehand, pooled regions not.

    The reset gate acts on the product with the state (Keras' `reset_after`), so that all gates are
    one product:

        z, r = σ(W x + U h)      h̃ = tanh(W x + r ∘ U h)      h' = z ∘ h + (1 − z) ∘ h̃

    Args:
        units: H.

    Example: two images, three captions of four words.

        >>> gru = GRU(32)
        >>> words = gru.project(tf.random.normal([2, 3, 4, 64]))  # [B, N, T, 3H]
        >>> state = tf.zeros([2, 3, 32])
        >>> for t in range(4):
        ...     state = gru(words[:, :, t], tf.random.normal([2, 3, 128]), state)
        >>> state.shape
        TensorShape([2, 3, 32])

    Reference: Cho et al. 2014, "Learning phrase representations using RNN encoder–decoder".
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self._word = self._dense("word")
        self._pooled = self._dense("pooled", use_bias=False)
        self._recurrent = self._dense("recurrent", kernel_initializer="orthogonal")

    def _dense(self, name, **kwargs):
        return keras.layers.Dense(3 * self.units, name=name, dtype=self._dtype_policy, **kwargs)

    def get_config(self):
        return super().get_config() | {"units": self.units}

    def project(self, words):
        """Word vectors [..., E] to their part of the gates [..., 3H]."""
        return self._word(words)

    def call(self, projected, pooled, hidden):
        """The next state [B, N, H].

        Args:
            projected: of `project`, [B, N, 3H].
            pooled: v [B, N, D], or None: the words are the only input.
            hidden: the state [B, N, H].
        """
        if pooled is not None:
            projected += self._pooled(pooled)
        z, r, new = tf.split(projected, 3, axis=-1)
        recurrent_z, recurrent_r, recurrent_new = tf.split(self._recurrent(hidden), 3, axis=-1)
        z = tf.sigmoid(z + recurrent_z)
        new = tf.tanh(new + tf.sigmoid(r + recurrent_r) * recurrent_new)
        return z * hidden + (1 - z) * new
