import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_sat")
class AdditiveAttention(keras.layers.Layer):
    """Attention weights α_t = softmax_i(u · f(W_a a_i + W_h h_{t−1} + b) + c).

    W_a a_i does not depend on the step: `keys` computes it once per image.

    Args:
        units: width of the attention space.
        depth: number of layers of the network on the annotations, with tanh in between
            (`n_layers_att` of the authors' code).
        activation: f, `tanh` (paper) or `relu` (report).
        kernel_initializer: of all matrices.

    Example: two images of five regions, three hypotheses each.

        >>> attention = AdditiveAttention(512)
        >>> keys = attention.keys(tf.random.normal([2, 5, 64]))  # [B, L, 512]
        >>> attention(tf.random.normal([2, 3, 32]), keys).shape  # [B, N, L]
        TensorShape([2, 3, 5])

    Reference: Xu et al. 2015, equations 4–6 (MLP of Bahdanau et al. 2014).
    """

    def __init__(
        self, units, depth=1, activation="tanh", kernel_initializer="glorot_uniform", **kwargs
    ):
        super().__init__(**kwargs)
        self.units = units
        self.depth = depth
        self.activation = activation
        self.kernel_initializer = kernel_initializer
        self._activation = keras.activations.get(activation)
        # Both projections have a bias, as in the report; the paper's b is their sum.
        self._keys = [self._dense(units, f"keys_{i}") for i in range(depth)]
        self._query = self._dense(units, "query")
        self._score = self._dense(1, "score")

    def _dense(self, units, name):
        return keras.layers.Dense(
            units, kernel_initializer=self.kernel_initializer, name=name, dtype=self._dtype_policy
        )

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "depth": self.depth,
            "activation": self.activation,
            "kernel_initializer": self.kernel_initializer,
        }

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
