import keras
import tensorflow as tf

from keras_sat.layers.noise import SILENCE
from keras_sat.utils.errors import UserError


@keras.saving.register_keras_serializable(package="keras_sat")
class Grid(keras.layers.Layer):
    """The cells of the feature map as areas.

    Args:
        train_stride: take every so many cells in training, from a phase on that is drawn for the batch.
        test_stride: … without noise, from the first cell on.
    """

    def __init__(self, train_stride=1, test_stride=1, **kwargs):
        super().__init__(autocast=False, **kwargs)  # half precision would move the boxes
        self.train_stride = train_stride
        self.test_stride = test_stride

    def build(self, input_shape):
        height, width = input_shape["features"][1:3]
        for name in ("train_stride", "test_stride"):
            if (stride := getattr(self, name)) > min(height, width):
                raise UserError(
                    f"model.{name}: {stride} leaves no area of a feature map of {height}x{width}"
                )
        super().build(input_shape)

    def call(self, inputs, noise=SILENCE):
        """See `keras_sat.layers.areas`; every region is present."""
        features = inputs["features"]
        height, width, size = features.shape[1:]
        take = self._phase(noise)
        boxes = tf.reshape(grid_boxes(height, width), [1, height, width, 4])
        boxes = tf.tile(tf.reshape(take(boxes), [1, -1, 4]), [tf.shape(features)[0], 1, 1])
        regions = tf.reshape(take(features), [-1, tf.shape(boxes)[1], size])
        return regions, boxes, tf.ones(tf.shape(boxes)[:2], tf.bool)

    def _phase(self, noise):
        """A function that takes the chosen cells of a map [B, h, w, ·]."""
        stride = self.test_stride if noise is SILENCE else self.train_stride
        if noise is SILENCE or stride == 1:
            return lambda cells: cells[:, ::stride, ::stride]
        y, x = (tf.cast(noise.shared(f"phase {axis}") * stride, tf.int32) for axis in "yx")
        return lambda cells: cells[:, y::stride, x::stride]


def grid_boxes(height, width):
    """The cells of a grid as boxes (ymin, xmin, ymax, xmax) in 0–1, row by row; float32 [height·width, 4]."""
    y, x = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    corners = tf.reshape(tf.stack([y, x, y + 1, x + 1], axis=-1), [-1, 4])
    return tf.cast(corners / tf.constant([height, width, height, width]), tf.float32)
