import keras
import tensorflow as tf

from keras_sat.layers.noise import SILENCE

HIDDEN_SCORE = -1e9  # of a place that a mask hides; its weight is exactly zero


@keras.saving.register_keras_serializable(package="keras_sat")
class MultiHeadAttention(keras.layers.Layer):
    """softmax(Q Kᵀ / √d) V in each head, joined and projected.

    Keys and values are computed apart from the attention itself. So those of an image are computed
    once for all its hypotheses and steps, and those of earlier words are kept from step to step.

    Args:
        size: E, the width of the result; each of the heads has E / heads of it.
        heads: the number of heads.
        memory_vectors: the number of learned keys and values beside those of the inputs (Cornia et
            al. 2020).
        dropout: of the attention weights.

    Example: two images of five regions, three hypotheses each.

        >>> attention = MultiHeadAttention(64, heads=8)
        >>> keys, values = attention.keys_and_values(tf.random.normal([2, 5, 32]))  # [B, 8, L, 8]
        >>> context, weights = attention(tf.random.normal([2, 3, 64]), keys, values)
        >>> context.shape, weights.shape  # [B, N, E], [B, 8, N, L]
        (TensorShape([2, 3, 64]), TensorShape([2, 8, 3, 5]))

    Reference: Vaswani et al. 2017, "Attention is all you need", section 3.2.
    """

    def __init__(self, size, heads, memory_vectors=0, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.heads = heads
        self.memory_vectors = memory_vectors
        self.dropout = dropout
        self._query = self._dense("query")
        self._key = self._dense("key", use_bias=False)  # it would add the same to all scores
        self._value = self._dense("value")
        self._join = self._dense("join")
        self._memory = ()
        if memory_vectors:
            shape = [heads, memory_vectors, size // heads]
            self._memory = (
                self._memory_weight("memory_keys", shape),
                self._memory_weight("memory_values", shape),
            )

    def _dense(self, name, use_bias=True):
        return keras.layers.Dense(self.size, use_bias=use_bias, name=name, dtype=self._dtype_policy)

    def _memory_weight(self, name, shape):
        deviation = (self.size // self.heads) ** -0.5
        return self.add_weight(
            name, shape, initializer=keras.initializers.RandomNormal(0, deviation)
        )

    def get_config(self):
        return super().get_config() | {
            "size": self.size,
            "heads": self.heads,
            "memory_vectors": self.memory_vectors,
            "dropout": self.dropout,
        }

    def keys_and_values(self, inputs):
        """The keys and values of inputs [..., L, D], each [..., heads, L, E / heads]."""
        return self._split(self._key(inputs)), self._split(self._value(inputs))

    def call(self, queries, keys, values, visible=None, bias=None, noise=SILENCE, name="attention"):
        """Attends.

        Args:
            queries: [..., Q, ·].
            keys: [..., heads, L, E / heads].
            values: [..., heads, L, E / heads].
            visible: bool, of a shape that broadcasts to [..., heads, Q, L]; None: all places.
            bias: added to the scores, [..., heads, Q, L] or a shape that broadcasts to it.
            noise: of a training step, see `keras_sat.layers.noise`.
            name: of the dropout's draws.

        Returns:
            (context [..., Q, E], weights float32 [..., heads, Q, L], without memory vectors and
            dropout).
        """
        depth = self.size // self.heads
        scaled = self._split(self._query(queries)) * tf.cast(depth**-0.5, self.compute_dtype)
        scores = tf.cast(tf.matmul(scaled, keys, transpose_b=True), tf.float32)
        if bias is not None:
            scores += bias
        if visible is not None:
            scores = tf.where(visible, scores, HIDDEN_SCORE)
        if self._memory:
            memory_keys, memory_values = self._memory_of(keys)
            by_memory = tf.matmul(scaled, memory_keys, transpose_b=True)
            scores = tf.concat([scores, tf.cast(by_memory, tf.float32)], axis=-1)
            values = tf.concat([values, memory_values], axis=-2)
        weights = tf.nn.softmax(scores)  # [..., heads, Q, L + vectors]
        used = tf.cast(noise.dropout(name, weights, self.dropout), self.compute_dtype)
        context = self._merge(tf.matmul(used, values))
        return self._join(context), weights[..., : tf.shape(keys)[-2]]

    def _memory_of(self, keys):
        """The learned keys and values, for each image: [..., heads, vectors, E / heads]."""
        depth = self.size // self.heads
        leading = tf.concat([tf.shape(keys)[:-2], [self.memory_vectors, depth]], axis=0)
        keys_and_values = []
        for memory, scale in zip(self._memory, (depth**0.5, self.memory_vectors**0.5)):
            scaled = tf.cast(memory * scale, self.compute_dtype)
            keys_and_values.append(tf.broadcast_to(scaled, leading))
        return keys_and_values

    def _split(self, projected):
        """[..., L, E] → [..., heads, L, E / heads]."""
        shape = tf.shape(projected)
        parts = [self.heads, self.size // self.heads]
        separate = tf.reshape(projected, tf.concat([shape[:-1], parts], axis=0))
        rank = projected.shape.rank
        return tf.transpose(separate, [*range(rank - 2), rank - 1, rank - 2, rank])

    def _merge(self, contexts):
        """[..., heads, Q, E / heads] → [..., Q, E]."""
        rank = contexts.shape.rank
        together = tf.transpose(contexts, [*range(rank - 3), rank - 2, rank - 3, rank - 1])
        shape = tf.shape(together)
        return tf.reshape(together, tf.concat([shape[:-2], [self.size]], axis=0))
