import keras
import tensorflow as tf

from keras_sat.layers.recurrence import LoopConstants


@keras.saving.register_keras_serializable(package="keras_sat")
class LSTM(keras.layers.Layer):
    """One step of an LSTM whose input is [E y ; ẑ]: words are known beforehand, contexts are not.

    `project` takes the words through their part of the kernel for all steps in one product; `call` adds what depends
    on the recurrence. Together they are Keras' LSTMCell on the concatenation (tests/layers/test_layers.py). In a loop that
    is differentiated, `loop_constants` are the kernels.

    Args:
        units: H. context_size: D, of ẑ; 0: nothing but the words is fed.
        unit_forget_bias: start the forget gate's bias at 1 (Keras' habit) or 0 (Xu et al.).
        kernel_initializer, recurrent_initializer: of the matrices.

    Example:
        inputs = lstm.project(words)                            # [B, N, T, 4H]
        state = lstm(inputs[:, :, t], context, state)           # (h, c), each [B, N, H]
    """

    def __init__(
        self,
        units,
        context_size=0,
        unit_forget_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.context_size = context_size
        self.unit_forget_bias = unit_forget_bias
        self.kernel_initializer = kernel_initializer
        self.recurrent_initializer = recurrent_initializer
        self._word = self._dense(
            "word", bias_initializer=self._bias if unit_forget_bias else "zeros"
        )
        self._context = context_size and self._dense("context", use_bias=False)
        self._recurrent = self._dense(
            "recurrent", use_bias=False, kernel_initializer=self.recurrent_initializer
        )

    def _dense(self, name, **kwargs):
        kwargs = {
            "kernel_initializer": self.kernel_initializer,
            "dtype": self._dtype_policy,
            **kwargs,
        }
        return keras.layers.Dense(4 * self.units, name=name, **kwargs)

    def _bias(self, shape, dtype=None, **kwargs):
        input_gate, forget, others = (
            tf.zeros([self.units]),
            tf.ones([self.units]),
            tf.zeros([2 * self.units]),
        )
        return tf.cast(tf.concat([input_gate, forget, others], 0), dtype)

    def project(self, words):
        """Word vectors [..., E] to their share of the gates [..., 4H]."""
        return self._word(words)

    def build(self, input_shape=None):
        for layer, size in ((self._recurrent, self.units), (self._context, self.context_size)):
            if size:
                with tf.name_scope(layer.name):
                    layer.build([None, size])
        self.built = True

    def call(self, projected, context, state, constants=None):
        """`context` [B, N, D] is None where nothing but the words is fed; `constants`: of `loop_constants`."""
        hidden, cell = state
        x = {"recurrent": hidden}
        if context is not None:
            x["context"] = tf.cast(context, self.compute_dtype)
        gates = (
            constants(x, projected)
            if constants
            else projected + _sum_of_products(x, self._kernels())
        )  # [B, N, 4H]
        i, f, g, o = tf.split(gates, 4, axis=-1)
        cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(cell), cell

    def loop_constants(self, projected):
        """The kernels for a loop over `projected` words [B, N, T, 4H]; its inputs are the {"recurrent": h, "context": ẑ}."""
        if not self.built:
            self.build()
        kernels = self._kernels()
        transposed = {
            name: tf.stop_gradient(tf.transpose(kernel)) for name, kernel in kernels.items()
        }
        return LoopConstants(_product, {"kernels": kernels, "transposed": transposed}, projected)

    def _kernels(self):
        layers = {"recurrent": self._recurrent} | (
            {"context": self._context} if self._context else {}
        )
        return {name: tf.cast(layer.kernel, self.compute_dtype) for name, layer in layers.items()}


def _sum_of_products(x, kernels):
    return tf.add_n([tf.tensordot(x[name], kernels[name], 1) for name in x])


def _product(x, constants, constant=False):
    """The same for `LoopConstants`. In the loop, whose steps' inputs are small, transposing costs as much as the product."""
    if not constant:
        return _sum_of_products(x, constants["kernels"])

    @tf.custom_gradient
    def product(*inputs):
        y = _sum_of_products(dict(zip(x, inputs)), constants["kernels"])
        return y, lambda upstream: [
            tf.tensordot(upstream, constants["transposed"][name], 1) for name in x
        ]

    return product(*x.values())
