import keras
import tensorflow as tf

from keras_sat.layers.noise import SILENCE
from keras_sat.text.ids import PAD, START


@keras.saving.register_keras_serializable(package="keras_sat")
class LinearOutput(keras.layers.Layer):
    """log p(y_t) = log softmax(L_o drop(h_t)), the report's.

    Takes one step or all steps at once: leading axes are free. PAD and START have probability zero,
    so no caption can contain them.

    Args:
        vocabulary_size: V.
        state_dropout: dropout of the state.
        kernel_initializer: of all matrices.

    Example: it is called as `DeepOutput` is, and reads the state alone.

        >>> read_out = LinearOutput(1000)
        >>> read_out(None, tf.random.normal([2, 3, 32]), None).shape
        TensorShape([2, 3, 1000])
    """

    def __init__(
        self, vocabulary_size, state_dropout=0.0, kernel_initializer="glorot_uniform", **kwargs
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.state_dropout = state_dropout
        self.kernel_initializer = kernel_initializer
        self._logits = self._dense(vocabulary_size, "logits")

    def _dense(self, units, name, use_bias=True):
        return keras.layers.Dense(
            units,
            use_bias=use_bias,
            kernel_initializer=self.kernel_initializer,
            name=name,
            dtype=self._dtype_policy,
        )

    def get_config(self):
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "state_dropout": self.state_dropout,
            "kernel_initializer": self.kernel_initializer,
        }

    def call(self, words, hidden, context, noise=SILENCE):
        return self._log_probs(noise.dropout("state", hidden, self.state_dropout))

    def _log_probs(self, features):
        logits = tf.cast(self._logits(features), tf.float32)
        return tf.nn.log_softmax(logits + impossible_words(self.vocabulary_size))  # [..., V]


def impossible_words(vocabulary_size):
    """What is added to the scores of all words so that PAD and START have probability zero.

    Returns:
        float32 [V].
    """
    return tf.scatter_nd([[PAD], [START]], tf.fill([2], -1e9), [vocabulary_size])
