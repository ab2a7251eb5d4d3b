import keras
import tensorflow as tf

from keras_sat.layers.noise import SILENCE
from keras_sat.utils.errors import UserError


@keras.saving.register_keras_serializable(package="keras_sat")
class Grid(keras.layers.Layer):
    """The cells of the feature map as areas.

    Args:
        train_stride: the distance between areas in training, in cells. The first row and the first
            column are drawn at random, once for the batch.
        test_stride: the same in inference, from the first cell on.

    Example: every second cell of a map of 4×6.

        >>> grid = Grid(test_stride=2)
        >>> regions, boxes, present = grid({"features": tf.random.normal([1, 4, 6, 128])})
        >>> regions.shape
        TensorShape([1, 6, 128])
        >>> boxes[0, 0].numpy().tolist()  # ymin, xmin, ymax, xmax
        [0.0, 0.0, 0.25, 0.1666666716337204]
    """

    def __init__(self, train_stride=1, test_stride=1, **kwargs):
        super().__init__(autocast=False, **kwargs)  # half precision would move the boxes
        self.train_stride = train_stride
        self.test_stride = test_stride

    def get_config(self):
        return super().get_config() | {
            "train_stride": self.train_stride,
            "test_stride": self.test_stride,
        }

    def build(self, input_shape):
        height, width = input_shape["features"][1:3]
        for name in ("train_stride", "test_stride"):
            stride = getattr(self, name)
            if stride > min(height, width):
                raise UserError(
                    f"model.{name}: {stride} leaves no area of a feature map of {height}x{width}"
                )
        super().build(input_shape)

    def call(self, inputs, noise=SILENCE):
        """See `keras_sat.layers.areas`; every region is present."""
        features = inputs["features"]
        height, width, size = features.shape[1:]
        rows, columns = self._chosen(noise)
        boxes = tf.reshape(grid_boxes(height, width), [1, height, width, 4])
        boxes = tf.reshape(boxes[:, rows, columns], [1, -1, 4])  # [1, L, 4]
        boxes = tf.tile(boxes, [tf.shape(features)[0], 1, 1])  # [B, L, 4]
        regions = tf.reshape(features[:, rows, columns], [-1, tf.shape(boxes)[1], size])
        return regions, boxes, tf.ones(tf.shape(boxes)[:2], tf.bool)

    def _chosen(self, noise):
        """The slices of the rows and columns of cells that are areas."""
        stride = self.train_stride if noise.training else self.test_stride
        if not noise.training or stride == 1:
            every = slice(None, None, stride)
            return every, every
        y = tf.cast(noise.shared("phase y") * stride, tf.int32)
        x = tf.cast(noise.shared("phase x") * stride, tf.int32)
        return slice(y, None, stride), slice(x, None, stride)


def grid_boxes(height, width):
    """The cells of a grid as boxes, row by row.

    Returns:
        float32 [height·width, 4]: ymin, xmin, ymax, xmax in 0–1.
    """
    y, x = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    corners = tf.reshape(tf.stack([y, x, y + 1, x + 1], axis=-1), [-1, 4])
    return tf.cast(corners / tf.constant([height, width, height, width]), tf.float32)
