import keras
import tensorflow as tf

from keras_sat.layers.linear_output import impossible_words
from keras_sat.layers.noise import SILENCE


@keras.saving.register_keras_serializable(package="keras_sat")
class TiedOutput(keras.layers.Layer):
    """log p(y_t) = log softmax(E drop(h_t) + b), where E is the table of the word vectors.

    Takes one step or all steps at once: leading axes are free. PAD and START have probability zero.

    Args:
        vocabulary_size: V.
        state_dropout: dropout of the state.

    Example:

        >>> table = tf.random.normal([1000, 32])
        >>> TiedOutput(1000)(tf.random.normal([2, 3, 32]), table).shape
        TensorShape([2, 3, 1000])

    Reference: Press and Wolf 2017, "Using the output embedding to improve language models".
    """

    def __init__(self, vocabulary_size, state_dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.state_dropout = state_dropout

    def get_config(self):
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "state_dropout": self.state_dropout,
        }

    def build(self, input_shape):
        self._bias = self.add_weight("bias", [self.vocabulary_size], initializer="zeros")
        self.built = True

    def call(self, hidden, table, noise=SILENCE):
        """The log-probabilities of all words.

        Args:
            hidden: the states, [..., H].
            table: the word vectors, [V, H].
            noise: of a training step, see `keras_sat.layers.noise`.

        Returns:
            float32 [..., V].
        """
        hidden = noise.dropout("state", hidden, self.state_dropout)
        table = tf.cast(table, self.compute_dtype)
        scores = tf.cast(tf.tensordot(hidden, table, [[-1], [1]]), tf.float32)
        scores += tf.cast(self._bias, tf.float32) + impossible_words(self.vocabulary_size)
        return tf.nn.log_softmax(scores)
