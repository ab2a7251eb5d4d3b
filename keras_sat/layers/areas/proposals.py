import keras
import tensorflow as tf

from keras_sat.layers.noise import SILENCE


@keras.saving.register_keras_serializable(package="keras_sat")
class Proposals(keras.layers.Layer):
    """Object proposals as areas: the feature map, max-pooled over each box to one cell.

    A cell belongs to a box if its centre lies in it. Pooling over all cells that a box touches
    would mix its surroundings in.

    Args:
        train_boxes: the number of boxes drawn at random in training; all boxes of an image that has
            fewer.
        test_boxes: the number of boxes used in inference, the first ones in the order of
            objectness; 0 = all.

    Example: one image with one box and a padded one.

        >>> proposals = Proposals()
        >>> boxes = tf.constant([[[0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0]]])
        >>> features = tf.random.normal([1, 7, 7, 128])
        >>> regions, boxes, present = proposals({"features": features, "boxes": boxes})
        >>> regions.shape
        TensorShape([1, 2, 128])
        >>> present.numpy().tolist()
        [[True, False]]

    Reference: Pedersoli et al. 2017, section 3.2.
    """

    def __init__(self, train_boxes=50, test_boxes=0, **kwargs):
        super().__init__(autocast=False, **kwargs)  # half precision would move the boxes
        self.train_boxes = train_boxes
        self.test_boxes = test_boxes

    def get_config(self):
        return super().get_config() | {
            "train_boxes": self.train_boxes,
            "test_boxes": self.test_boxes,
        }

    def call(self, inputs, noise=SILENCE):
        """See `keras_sat.layers.areas`; a box without area is not present."""
        boxes = inputs["boxes"]
        if not noise.training:
            boxes = boxes[:, : self.test_boxes or None]
        elif self.train_boxes < boxes.shape[1]:
            draws = noise.uniform("boxes", [boxes.shape[1]])  # [B, M]
            # Boxes that are present come before those that are not.
            order = tf.argsort(draws - tf.cast(_present(boxes), tf.float32), axis=-1)
            boxes = tf.gather(boxes, order[:, : self.train_boxes], batch_dims=1)
        features = inputs.get("region_features", inputs["features"])
        return max_pool_boxes(features, boxes), boxes, _present(boxes)


def _present(boxes):
    return tf.logical_and(boxes[..., 2] > boxes[..., 0], boxes[..., 3] > boxes[..., 1])


def max_pool_boxes(features, boxes):
    """The maximum of each channel over the cells whose centres lie in a box.

    Args:
        features: [B, h, w, D].
        boxes: float32 [B, M, 4] in 0–1. A box without the centre of a cell takes the cell in which
            it lies.

    Returns:
        [B, M, D].
    """
    height, width = features.shape[1:3]
    # Maxima over all windows of 2^i × 2^j cells. A box of any size is the union of four of them.
    maxima = []
    for i in range(height.bit_length()):
        for j in range(width.bit_length()):
            maxima.append(_window_maxima(features, 1 << i, 1 << j))
    maxima = tf.stack(maxima, axis=1)  # [B, windows, h, w, D]
    first, last = _cells_inside(boxes, height, width)
    levels = _floor_log2(last - first)  # (i, j) of the largest window that fits, [B, M, 2]
    window = levels[..., 0] * width.bit_length() + levels[..., 1]  # [B, M]
    far = last - tf.bitwise.left_shift(1, levels)
    corners = [
        (first[..., 0], first[..., 1]),
        (first[..., 0], far[..., 1]),
        (far[..., 0], first[..., 1]),
        (far[..., 0], far[..., 1]),
    ]
    pooled = []
    for y, x in corners:
        pooled.append(tf.gather_nd(maxima, tf.stack([window, y, x], axis=-1), batch_dims=1))
    return tf.reduce_max(tf.stack(pooled), axis=0)


def _cells_inside(boxes, height, width):
    """The range of cells whose centres lie in each box; if there are none, the box's own cell.

    Returns:
        first, last: int32 [B, M, 2] (y, x); `last` is exclusive.
    """
    scale = tf.constant([height, width], tf.float32)
    start = boxes[..., :2] * scale
    end = boxes[..., 2:] * scale
    first = tf.cast(tf.math.ceil(start - 0.5), tf.int32)
    last = tf.cast(tf.math.ceil(end - 0.5), tf.int32)
    own = tf.cast(tf.floor((start + end) / 2), tf.int32)
    limit = tf.constant([height, width])
    first = tf.clip_by_value(tf.where(last > first, first, own), 0, limit - 1)
    return first, tf.clip_by_value(last, first + 1, limit)


def _floor_log2(n):
    return tf.reduce_sum(tf.cast([n >= 1 << k for k in range(1, 16)], tf.int32), axis=0)


def _window_maxima(features, height, width):
    """The maximum over each window of height × width cells, at its first cell; [B, h, w, D]."""
    windows = tf.nn.max_pool2d(features, [height, width], 1, "VALID")
    return tf.pad(windows, [[0, 0], [0, height - 1], [0, width - 1], [0, 0]])
