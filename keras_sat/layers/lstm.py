import keras
import tensorflow as tf

from keras_sat.layers.loop_constants import LoopConstants


@keras.saving.register_keras_serializable(package="keras_sat")
class LSTM(keras.layers.Layer):
    """One step of an LSTM whose input is [E y ; ẑ]. Words are known beforehand, contexts are not.

    `project` multiplies the words of all steps by their part of the kernel in one product; `call`
    adds what depends on the recurrence. Together they are Keras' LSTMCell on the concatenation
    (tests/layers/test_layers.py). In a loop that is differentiated, `loop_constants` are the
    kernels.

    Args:
        units: H.
        context_size: D, the size of ẑ; 0: the words are the only input.
        unit_forget_bias: whether the forget gate's bias starts at 1 (as in Keras) or at 0 (Xu et
            al.).
        kernel_initializer: of the matrices on words and context.
        recurrent_initializer: of the matrix on the state.

    Example: two images, three captions of four words.

        >>> lstm = LSTM(32, context_size=128)
        >>> words = lstm.project(tf.random.normal([2, 3, 4, 64]))  # [B, N, T, 4H]
        >>> state = (tf.zeros([2, 3, 32]), tf.zeros([2, 3, 32]))  # (h, c)
        >>> for t in range(4):
        ...     state = lstm(words[:, :, t], tf.random.normal([2, 3, 128]), state)
        >>> state[0].shape
        TensorShape([2, 3, 32])
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
            "word",
            kernel_initializer,
            use_bias=True,
            bias_initializer=self._bias if unit_forget_bias else "zeros",
        )
        self._context = self._dense("context", kernel_initializer) if context_size else None
        self._recurrent = self._dense("recurrent", recurrent_initializer)

    def _dense(self, name, kernel_initializer, use_bias=False, **kwargs):
        return keras.layers.Dense(
            4 * self.units,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            name=name,
            dtype=self._dtype_policy,
            **kwargs,
        )

    def _bias(self, shape, dtype=None, **kwargs):
        """The initial bias of the gates i, f, g, o: 1 for the forget gate f, and 0."""
        input_gate = tf.zeros([self.units])
        forget_gate = tf.ones([self.units])
        others = tf.zeros([2 * self.units])
        return tf.cast(tf.concat([input_gate, forget_gate, others], 0), dtype)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "context_size": self.context_size,
            "unit_forget_bias": self.unit_forget_bias,
            "kernel_initializer": self.kernel_initializer,
            "recurrent_initializer": self.recurrent_initializer,
        }

    def project(self, words):
        """Word vectors [..., E] to their part of the gates [..., 4H]."""
        return self._word(words)

    def build(self, input_shape=None):
        _build(self._recurrent, self.units)
        if self._context:
            _build(self._context, self.context_size)
        self.built = True

    def call(self, projected, context, state, constants=None):
        """The next state (h, c), each [B, N, H].

        Args:
            projected: of `project`, [B, N, 4H].
            context: ẑ [B, N, D], or None: the words are the only input.
            state: (h, c), each [B, N, H].
            constants: of `loop_constants`, or None: the layer's own kernels.
        """
        hidden, cell = state
        x = {"recurrent": hidden}
        if context is not None:
            x["context"] = tf.cast(context, self.compute_dtype)
        if constants:
            gates = constants(x, projected)
        else:
            gates = projected + _sum_of_products(x, self._kernels())  # [B, N, 4H]
        i, f, g, o = tf.split(gates, 4, axis=-1)
        cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(cell), cell

    def loop_constants(self, projected):
        """The kernels for a loop over projected words.

        Args:
            projected: of `project`, [B, N, T, 4H].

        Returns:
            `LoopConstants`, whose inputs are {"recurrent": h, "context": ẑ}.
        """
        if not self.built:
            self.build()
        kernels = self._kernels()
        transposed = {}
        for name, kernel in kernels.items():
            transposed[name] = tf.stop_gradient(tf.transpose(kernel))
        return LoopConstants(_product, {"kernels": kernels, "transposed": transposed}, projected)

    def _kernels(self):
        layers = {"recurrent": self._recurrent}
        if self._context:
            layers["context"] = self._context
        return {name: tf.cast(layer.kernel, self.compute_dtype) for name, layer in layers.items()}


def _build(layer, size):
    """Creates the weights of a layer for inputs of this size."""
    with tf.name_scope(layer.name):
        layer.build([None, size])


def _sum_of_products(x, kernels):
    return tf.add_n([tf.tensordot(x[name], kernels[name], 1) for name in x])


def _product(x, constants, constant=False):
    """`_sum_of_products` as a function for `LoopConstants`.

    Its gradient in the loop uses kernels that were transposed beforehand: the inputs of a step are
    small, so that transposing would cost as much as the product.
    """
    if not constant:
        return _sum_of_products(x, constants["kernels"])

    @tf.custom_gradient
    def product(*inputs):
        def gradient(upstream):
            return [tf.tensordot(upstream, constants["transposed"][name], 1) for name in x]

        return _sum_of_products(dict(zip(x, inputs)), constants["kernels"]), gradient

    return product(*x.values())
