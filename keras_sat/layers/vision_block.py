import keras
import tensorflow as tf

from keras_sat.layers.multi_head_attention import MultiHeadAttention


def _quick_gelu(x):
    return x * tf.sigmoid(1.702 * x)


def _tanh_gelu(x):
    return tf.nn.gelu(x, approximate=True)


# By the names that checkpoints use.
ACTIVATIONS = {
    "gelu": tf.nn.gelu,
    "gelu_new": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "quick_gelu": _quick_gelu,
    "relu": tf.nn.relu,
}


@keras.saving.register_keras_serializable(package="keras_sat")
class VisionBlock(keras.layers.Layer):
    """x + s_1 ⊙ attention(norm(x)), then x + s_2 ⊙ MLP(norm(x)).

    Args:
        size: D, the width of a token.
        heads: the number of heads.
        hidden_size: the width of the MLP's hidden layer.
        activation: of the MLP, a key of ACTIVATIONS.
        epsilon: of the layer normalisation.
        layer_scale: whether there are the learned factors s_1 and s_2 (DINOv2).

    Example:

        >>> VisionBlock(32, heads=2, hidden_size=64)(tf.random.normal([2, 13, 32])).shape
        TensorShape([2, 13, 32])

    Reference: Dosovitskiy et al. 2021, equations 2 and 3; Touvron et al. 2021 (layer scale).
    """

    def __init__(
        self,
        size,
        heads,
        hidden_size,
        activation="gelu",
        epsilon=1e-6,
        layer_scale=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.size = size
        self.heads = heads
        self.hidden_size = hidden_size
        self.activation = activation
        self.epsilon = epsilon
        self.layer_scale = layer_scale
        policy = self._dtype_policy
        self._attend = MultiHeadAttention(size, heads, name="attention", dtype=policy)
        self._norms = []
        for name in ("norm_attention", "norm_mlp"):
            norm = keras.layers.LayerNormalization(epsilon=epsilon, name=name, dtype=policy)
            self._norms.append(norm)
        self._expand = keras.layers.Dense(hidden_size, name="expand", dtype=policy)
        self._contract = keras.layers.Dense(size, name="contract", dtype=policy)

    def get_config(self):
        return super().get_config() | {
            "size": self.size,
            "heads": self.heads,
            "hidden_size": self.hidden_size,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "layer_scale": self.layer_scale,
        }

    def build(self, input_shape):
        self._scales = []
        if self.layer_scale:
            for name in ("scale_attention", "scale_mlp"):
                self._scales.append(self.add_weight(name, [self.size], initializer="ones"))
        self.built = True

    def call(self, tokens):
        tokens += self._scaled(0, self._attended(self._norms[0](tokens)))
        hidden = ACTIVATIONS[self.activation](self._expand(self._norms[1](tokens)))
        return tokens + self._scaled(1, self._contract(hidden))

    def _attended(self, tokens):
        context, _ = self._attend(tokens, *self._attend.keys_and_values(tokens))
        return context

    def _scaled(self, part, change):
        if not self.layer_scale:
            return change
        return tf.cast(self._scales[part], change.dtype) * change
