import keras
import tensorflow as tf

from keras_sat.layers.noise import SILENCE
from keras_sat.text.ids import PAD, START


def impossible_words(vocabulary_size):
    """What is added to the scores of all words so that PAD and START have probability zero; float32 [V]."""
    return tf.scatter_nd([[PAD], [START]], tf.fill([2], -1e9), [vocabulary_size])


def read_words(read_out, captions, words, hidden, context, noise=SILENCE):
    """What an output layer says of captions [B, N, T]: log p [B, N, T, V]. In training, nothing is computed at padding.

    Args:
        read_out: the layer. words, hidden, context: its inputs [B, N, T, ·] or None.
    """
    if (
        noise is SILENCE
    ):  # how many rows a product has changes its last bits: answers would depend on their batch mates
        return read_out(words, hidden, context)
    shape = tf.shape(captions)
    needed = tf.reshape(captions != PAD, [-1])
    # One at least: TensorFlow's gradients do not bear none, as a device has whose captions are all padding.
    places = tf.where(tf.logical_or(needed, tf.range(tf.size(needed)) == 0))[:, 0]
    chosen = [
        None if t is None else tf.gather(tf.reshape(t, [-1, t.shape[-1]]), places)
        for t in (words, hidden, context)
    ]
    log_probs = read_out(*chosen, noise=noise.at(places, shape))  # [P, V]
    everywhere = tf.scatter_nd(
        places[:, None], log_probs, tf.stack([tf.size(needed, tf.int64), log_probs.shape[-1]])
    )
    return tf.reshape(everywhere, [*tf.unstack(shape), log_probs.shape[-1]])


@keras.saving.register_keras_serializable(package="keras_sat")
class LinearOutput(keras.layers.Layer):
    """log p(y_t) = log softmax(L_o drop(h_t)), the report's. Takes one step or all at once: leading axes are free.

    PAD and START have probability zero: no caption can predict them.

    Args:
        vocabulary_size: V.
        state_dropout: on the state.
        kernel_initializer: of all matrices.
    """

    def __init__(
        self, vocabulary_size, state_dropout=0.0, kernel_initializer="glorot_uniform", **kwargs
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.state_dropout = state_dropout
        self.kernel_initializer = kernel_initializer
        self._logits = self._dense(vocabulary_size, "logits")

    def _dense(self, units, name, **kwargs):
        kwargs = {
            "kernel_initializer": self.kernel_initializer,
            "dtype": self._dtype_policy,
            **kwargs,
        }
        return keras.layers.Dense(units, name=name, **kwargs)

    def call(self, words, hidden, context, noise=SILENCE):
        return self._log_probs(noise.dropout("state", hidden, self.state_dropout))

    def _log_probs(self, features):
        logits = tf.cast(self._logits(features), tf.float32)
        return tf.nn.log_softmax(logits + impossible_words(self.vocabulary_size))  # [..., V]


@keras.saving.register_keras_serializable(package="keras_sat")
class DeepOutput(LinearOutput):
    """log p(y_t) = log softmax(L_o drop(tanh(E y_{t−1} + L_h drop(h_t) + L_z ẑ_t))).

    Args:
        output_dropout: after the tanh; the others as for `LinearOutput`.

    Reference: Xu et al. 2015, equation 7; the tanh and both dropouts as in the authors' code.
    """

    def __init__(self, vocabulary_size, output_dropout=0.0, **kwargs):
        super().__init__(vocabulary_size, **kwargs)
        self.output_dropout = output_dropout

    def build(self, input_shape):
        self._from_hidden = self._dense(
            input_shape[-1], "from_hidden"
        )  # as wide as the word vectors it is added to
        self._from_context = self._dense(input_shape[-1], "from_context", use_bias=False)
        self.built = True

    def call(self, words, hidden, context, noise=SILENCE):
        hidden = noise.dropout("state", hidden, self.state_dropout)
        features = tf.tanh(
            words + self._from_hidden(hidden) + self._from_context(context)
        )  # [..., E]
        return self._log_probs(noise.dropout("output", features, self.output_dropout))
