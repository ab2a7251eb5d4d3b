import keras
import tensorflow as tf

from keras_sat.layers.linear_output import impossible_words
from keras_sat.layers.noise import SILENCE


@keras.saving.register_keras_serializable(package="keras_sat")
class TiedOutput(keras.layers.Layer):
    """log p(y_t) = log softmax(E drop(h_t) + b), where E is the table of the word vectors.

    Args:
        embedding: the `WordEmbedding` whose table is shared.
        state_dropout: dropout of the state.

    Example: it is called as `LinearOutput` is.

        >>> embedding = WordEmbedding(1000, 32)
        >>> words = embedding(tf.constant([[1, 7, 8]]))
        >>> TiedOutput(embedding)(None, tf.random.normal([2, 3, 32]), None).shape
        TensorShape([2, 3, 1000])

    Reference: Press and Wolf 2017, "Using the output embedding to improve language models".
    """

    def __init__(self, embedding, state_dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self._embedding = embedding
        self.state_dropout = state_dropout

    def get_config(self):
        embedding = keras.saving.serialize_keras_object(self._embedding)
        return super().get_config() | {
            "embedding": embedding,
            "state_dropout": self.state_dropout,
        }

    @classmethod
    def from_config(cls, config):
        embedding = keras.saving.deserialize_keras_object(config["embedding"])
        return cls(**{**config, "embedding": embedding})

    def build(self, input_shape):
        if not self._embedding.built:
            self._embedding.build(None)
        self._bias = self.add_weight("bias", [self._embedding.vocabulary_size], initializer="zeros")
        self.built = True

    def call(self, words, hidden, context, noise=SILENCE):
        hidden = noise.dropout("state", hidden, self.state_dropout)
        table = tf.cast(self._embedding.table, self.compute_dtype)  # [V, E]
        flat = tf.reshape(hidden, [-1, self._embedding.size])
        scores = tf.cast(tf.matmul(flat, table, transpose_b=True), tf.float32) + self._bias
        scores += impossible_words(self._embedding.vocabulary_size)
        shape = tf.concat([tf.shape(hidden)[:-1], [self._embedding.vocabulary_size]], axis=0)
        log_probs = tf.reshape(tf.nn.log_softmax(scores), shape)
        return tf.ensure_shape(log_probs, [*hidden.shape[:-1], self._embedding.vocabulary_size])
