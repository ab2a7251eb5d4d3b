import keras
import tensorflow as tf

from keras_sat.text.ids import START


@keras.saving.register_keras_serializable(package="keras_sat")
class WordEmbedding(keras.layers.Layer):
    """Word vectors E y; START's is the zero vector, as in Xu et al.'s code, which has no START.

    Args:
        vocabulary_size: V.
        size: E, the size of the vectors.
        embeddings_initializer: of the table [V, E].

    Example: START is the word 1.

        >>> embedding = WordEmbedding(1000, 64)
        >>> embedding(tf.constant([[1, 7, 8]])).shape
        TensorShape([1, 3, 64])
        >>> float(tf.norm(embedding(tf.constant([1]))))
        0.0
    """

    def __init__(self, vocabulary_size, size, embeddings_initializer="uniform", **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.size = size
        self.embeddings_initializer = embeddings_initializer

    def get_config(self):
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "size": self.size,
            "embeddings_initializer": self.embeddings_initializer,
        }

    def build(self, input_shape):
        self.table = self.add_weight(
            "table", [self.vocabulary_size, self.size], initializer=self.embeddings_initializer
        )
        self.built = True

    def call(self, tokens):
        vectors = tf.cast(tf.gather(self.table, tokens), self.compute_dtype)  # [..., E]
        return vectors * tf.cast(tokens != START, self.compute_dtype)[..., None]
