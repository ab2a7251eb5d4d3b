import itertools

import keras
import tensorflow as tf

from keras_sat.layers.noise import SILENCE


@keras.saving.register_keras_serializable(package="keras_sat")
class Proposals(keras.layers.Layer):
    """Object proposals as areas: the feature map, max-pooled over each box to one cell.

    A cell counts where its centre lies in the box: cells that a box merely touches would mix its neighbours in.

    Args:
        train_boxes: how many boxes training draws at random, all where an image has fewer.
        test_boxes: the first so many are used without noise, in the order of objectness (0 = all).

    Reference: Pedersoli et al. 2017, section 3.2.
    """

    def __init__(self, train_boxes=50, test_boxes=0, **kwargs):
        super().__init__(autocast=False, **kwargs)  # half precision would move the boxes
        self.train_boxes = train_boxes
        self.test_boxes = test_boxes

    def call(self, inputs, noise=SILENCE):
        """See `keras_sat.layers.areas`; a box of no area is not present."""
        boxes = inputs["boxes"]
        if noise is SILENCE:
            boxes = boxes[:, : self.test_boxes or None]
        elif self.train_boxes < boxes.shape[1]:
            order = noise.uniform("boxes", [boxes.shape[1]]) - tf.cast(
                _present(boxes), tf.float32
            )  # those first
            chosen = tf.argsort(order, axis=-1)[:, : self.train_boxes]
            boxes = tf.gather(boxes, chosen, batch_dims=1)
        features = inputs.get("region_features", inputs["features"])
        return max_pool_boxes(features, boxes), boxes, _present(boxes)


def _present(boxes):
    return tf.logical_and(boxes[..., 2] > boxes[..., 0], boxes[..., 3] > boxes[..., 1])


def max_pool_boxes(features, boxes):
    """The maximum of each channel over the cells whose centres lie in a box.

    Args:
        features: [B, h, w, D]. boxes: float32 [B, M, 4] in 0–1; one without such a cell takes the cell it lies in.
    Returns:
        [B, M, D].
    """
    height, width = features.shape[1:3]
    # Maxima over all windows of 2^i × 2^j cells; a box is the union of four of them, whatever its size.
    windows = list(itertools.product(range(height.bit_length()), range(width.bit_length())))
    maxima = tf.stack(
        [_maximum(features, 1 << i, 1 << j) for i, j in windows], axis=1
    )  # [B, windows, h, w, D]
    first, last = _cells_inside(boxes, height, width)
    levels = _floor_log2(last - first)
    window = levels[..., 0] * width.bit_length() + levels[..., 1]  # [B, M]
    far = last - tf.bitwise.left_shift(1, levels)
    corners = [
        (first[..., 0], first[..., 1]),
        (first[..., 0], far[..., 1]),
        (far[..., 0], first[..., 1]),
        (far[..., 0], far[..., 1]),
    ]
    pooled = [
        tf.gather_nd(maxima, tf.stack([window, y, x], axis=-1), batch_dims=1) for y, x in corners
    ]
    return tf.reduce_max(tf.stack(pooled), axis=0)


def _cells_inside(boxes, height, width):
    """The range of cells, (first, last) int32 [B, M, 2], whose centres lie in each box; if none does, the box's own cell."""
    scale = tf.constant([height, width], tf.float32)
    start, end = boxes[..., :2] * scale, boxes[..., 2:] * scale
    first, last = (tf.cast(tf.math.ceil(each - 0.5), tf.int32) for each in (start, end))
    own = tf.cast(tf.floor((start + end) / 2), tf.int32)
    limit = tf.constant([height, width])
    first = tf.clip_by_value(tf.where(last > first, first, own), 0, limit - 1)
    return first, tf.clip_by_value(last, first + 1, limit)


def _floor_log2(n):
    return tf.reduce_sum(tf.cast([n >= 1 << k for k in range(1, 16)], tf.int32), axis=0)


def _maximum(features, height, width):
    """The maximum over each window of height × width cells, at the place of its first cell; [B, h, w, D]."""
    windows = tf.nn.max_pool2d(features, [height, width], 1, "VALID")
    return tf.pad(windows, [[0, 0], [0, height - 1], [0, width - 1], [0, 0]])
