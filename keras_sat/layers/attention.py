import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_sat")
class AdditiveAttention(keras.layers.Layer):
    """Attention weights α_t = softmax_i(u · f(W_a a_i + W_h h_{t−1} + b) + c).

    W_a a_i does not depend on the step: `keys` computes it once an image.

    Args:
        units: width of the attention space.
        depth: layers of the network on the annotations, tanh in between (`n_layers_att` of the authors' code).
        activation: f, `tanh` (paper) or `relu` (report).
        kernel_initializer: of all matrices.

    Example:
        attention = AdditiveAttention(512)
        keys = attention.keys(regions)                 # [B, L, 512]
        weights = attention(hidden, keys)              # [B, N, L]

    Reference: Xu et al. 2015, equations 4–6 (MLP of Bahdanau et al. 2014).
    """

    def __init__(
        self, units, depth=1, activation="tanh", kernel_initializer="glorot_uniform", **kwargs
    ):
        super().__init__(**kwargs)
        self.units = units
        self.depth = depth
        self._activation = keras.activations.get(activation)
        self.kernel_initializer = kernel_initializer
        # Both projections carry a bias, as in the report; the paper's b is their sum.
        self._keys = [self._dense(units, f"keys_{i}") for i in range(depth)]
        self._query = self._dense(units, "query")
        self._score = self._dense(1, "score")

    def _dense(self, units, name):
        return keras.layers.Dense(
            units, kernel_initializer=self.kernel_initializer, name=name, dtype=self._dtype_policy
        )

    def keys(self, regions):
        """Regions [B, L, D] to keys [B, L, units]."""
        keys = self._keys[0](regions)
        for layer in self._keys[1:]:
            keys = layer(tf.tanh(keys))
        return keys

    def call(self, hidden, keys):
        query = self._query(hidden)  # [B, N, A]
        # expand_dims, since the gradient of indexing with None is a copy.
        features = self._activation(tf.expand_dims(keys, 1) + tf.expand_dims(query, 2))
        scores = self._score(features)  # [B, N, L, 1]
        return tf.nn.softmax(tf.cast(scores[..., 0], tf.float32))


@keras.saving.register_keras_serializable(package="keras_sat")
class UniformAttention(keras.layers.Layer):
    """The control experiment: every region weighs 1 / L, so the context is the mean annotation."""

    def keys(self, regions):
        return regions[..., :1]  # the number of regions is all that `call` needs

    def call(self, hidden, keys):
        """Hidden states [B, …, H] to weights [B, …, L]."""
        regions = tf.shape(keys)[1:2]
        return tf.fill(
            tf.concat([tf.shape(hidden)[:-1], regions], 0), 1 / tf.cast(regions[0], tf.float32)
        )
