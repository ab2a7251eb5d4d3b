import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_sat")
class PatchMap(keras.layers.Layer):
    """The patches' tokens as a feature map: tokens [B, first + h · w, D] → [B, h, w, D].

    Args:
        height: h.
        width: w.
        first: the number of tokens before those of the patches.

    Example:

        >>> PatchMap(4, 3, first=1)(tf.random.normal([2, 13, 32])).shape
        TensorShape([2, 4, 3, 32])
    """

    def __init__(self, height, width, first=0, **kwargs):
        super().__init__(**kwargs)
        self.height = height
        self.width = width
        self.first = first

    def get_config(self):
        return super().get_config() | {
            "height": self.height,
            "width": self.width,
            "first": self.first,
        }

    def call(self, tokens):
        return tf.reshape(tokens[:, self.first :], [-1, self.height, self.width, tokens.shape[-1]])
