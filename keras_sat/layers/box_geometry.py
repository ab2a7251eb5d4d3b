import keras
import tensorflow as tf

_SMALLEST = 1e-3  # of a side or a distance, in units of the picture; the released code's
_LEAST_WEIGHT = 1e-6  # before the logarithm
_WAVES = 8  # frequencies per number
_LONGEST_WAVE = 1000.0


@keras.saving.register_keras_serializable(package="keras_sat")
class BoxGeometry(keras.layers.Layer):
    """What the relative geometry of two regions adds to the scores of attention between them.

    log max(relu(W Emb(λ_ij)), ε), with λ_ij = (log |x_i − x_j| / w_i, log |y_i − y_j| / h_i,
    log w_j / w_i, log h_j / h_i), and Emb sines and cosines of several frequencies.

    Args:
        heads: the number of heads.

    Example:

        >>> boxes = tf.constant([[[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]])  # y, x, y, x
        >>> BoxGeometry(8)(boxes).shape  # [B, heads, L, L]
        TensorShape([1, 8, 2, 2])

    Reference: Herdade et al. 2019, "Image captioning: transforming objects into words", section 3.
    """

    def __init__(self, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self._weigh = keras.layers.Dense(heads, "relu", name="weigh", dtype="float32")

    def get_config(self):
        return super().get_config() | {"heads": self.heads}

    def call(self, boxes):
        top, left, bottom, right = tf.unstack(tf.cast(boxes, tf.float32), axis=-1)
        sides = []
        for low, high in ((left, right), (top, bottom)):
            size = tf.maximum(high - low, _SMALLEST)
            centre = (low + high) / 2
            distance = tf.abs(centre[:, :, None] - centre[:, None])
            sides.append(tf.math.log(tf.maximum(distance, _SMALLEST) / size[:, :, None]))
            sides.append(tf.math.log(size[:, None] / size[:, :, None]))
        geometry = tf.stack(sides, axis=-1)  # [B, L, L, 4]
        frequencies = _LONGEST_WAVE ** -(tf.range(_WAVES, dtype=tf.float32) / _WAVES)
        angles = 100 * geometry[..., None] * frequencies  # [B, L, L, 4, waves]
        waves = tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)
        shape = tf.concat([tf.shape(geometry)[:3], [4 * 2 * _WAVES]], axis=0)
        weights = self._weigh(tf.reshape(waves, shape))  # [B, L, L, heads]
        return tf.transpose(tf.math.log(tf.maximum(weights, _LEAST_WEIGHT)), [0, 3, 1, 2])
