import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_sat")
class LSTM(keras.layers.Layer):
    """One step of an LSTM whose input is [E y ; ẑ]: words are known beforehand, contexts are not.

    `project` takes the words through their part of the kernel for all steps in one product; `call` adds what depends
    on the recurrence. Together they are Keras' LSTMCell on the concatenation (tests/layers/test_layers.py).

    Args:
        units: H.
        unit_forget_bias: start the forget gate's bias at 1 (Keras' habit) or 0 (Xu et al.).
        kernel_initializer, recurrent_initializer: of the matrices.

    Example:
        inputs = lstm.project(words)                            # [B, N, T, 4H]
        state = lstm(inputs[:, :, t], context, state)           # (h, c), each [B, N, H]
    """

    def __init__(
        self,
        units,
        unit_forget_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.unit_forget_bias = unit_forget_bias
        self.kernel_initializer = kernel_initializer
        self.recurrent_initializer = recurrent_initializer
        self._word = self._dense("word", bias_initializer=self._bias if unit_forget_bias else "zeros")
        self._context = self._dense("context", use_bias=False)
        self._recurrent = self._dense("recurrent", use_bias=False, kernel_initializer=self.recurrent_initializer)

    def _dense(self, name, **kwargs):
        kwargs = {"kernel_initializer": self.kernel_initializer, "dtype": self._dtype_policy, **kwargs}
        return keras.layers.Dense(4 * self.units, name=name, **kwargs)

    def _bias(self, shape, dtype=None, **kwargs):
        input_gate, forget, others = tf.zeros([self.units]), tf.ones([self.units]), tf.zeros([2 * self.units])
        return tf.cast(tf.concat([input_gate, forget, others], 0), dtype)

    def project(self, words):
        """Word vectors [..., E] to their share of the gates [..., 4H]."""
        return self._word(words)

    def call(self, projected, context, state):
        """`context` [B, N, D] may be None: nothing but the words is fed."""
        hidden, cell = state
        gates = projected + self._recurrent(hidden)  # [B, N, 4H]
        if context is not None:
            gates += self._context(context)
        i, f, g, o = tf.split(gates, 4, axis=-1)
        cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(cell), cell
