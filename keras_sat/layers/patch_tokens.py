import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_sat")
class PatchTokens(keras.layers.Layer):
    """Tokens of a picture: class token and registers, if any, then one token per patch.

    Every token but the registers gets the vector of its position.

    Args:
        size: D, the width of a token.
        patch: the side of a patch in pixels.
        class_tokens: the number of learned tokens with a position, which come first.
        registers: the number of learned tokens without a position, which come next.
        use_bias: whether the patches' projection has a bias.

    Example: 4 × 3 patches and a class token.

        >>> PatchTokens(32, patch=16)(tf.random.normal([2, 64, 48, 3])).shape
        TensorShape([2, 13, 32])

    Reference: Dosovitskiy et al. 2021, "An image is worth 16x16 words", equation 1; Darcet et al.
    2024 (registers).
    """

    def __init__(self, size, patch, class_tokens=1, registers=0, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.patch = patch
        self.class_tokens = class_tokens
        self.registers = registers
        self.use_bias = use_bias
        self._project = keras.layers.Conv2D(
            size, patch, patch, use_bias=use_bias, name="project", dtype=self._dtype_policy
        )

    def get_config(self):
        return super().get_config() | {
            "size": self.size,
            "patch": self.patch,
            "class_tokens": self.class_tokens,
            "registers": self.registers,
            "use_bias": self.use_bias,
        }

    def build(self, input_shape):
        _, height, width, _ = input_shape
        patches = (height // self.patch) * (width // self.patch)
        self._project.build(input_shape)
        spread = keras.initializers.TruncatedNormal(stddev=0.02)
        self._positions = self.add_weight(
            "positions", [self.class_tokens + patches, self.size], initializer=spread
        )
        if self.class_tokens:
            self._class_tokens = self.add_weight(
                "class_tokens", [self.class_tokens, self.size], initializer=spread
            )
        if self.registers:
            self._registers = self.add_weight(
                "registers", [self.registers, self.size], initializer=spread
            )
        self.built = True

    def call(self, pictures):
        patches = self._project(pictures)  # [B, h, w, D]
        batch = tf.shape(patches)[0]
        tokens = tf.reshape(patches, [batch, -1, self.size])
        if self.class_tokens:
            tokens = tf.concat([_for_each(self._class_tokens, batch), tokens], axis=1)
        tokens += self._positions
        if not self.registers:
            return tokens
        first = tokens[:, : self.class_tokens]
        registers = _for_each(self._registers, batch)
        return tf.concat([first, registers, tokens[:, self.class_tokens :]], axis=1)


def _for_each(vectors, batch):
    """Vectors [n, D] for each image: [B, n, D]."""
    return tf.repeat(vectors[None], batch, axis=0)
