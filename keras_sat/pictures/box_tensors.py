"""Boxes (ymin, xmin, ymax, xmax) on pictures as tensors, with stock TensorFlow ops only."""

import tensorflow as tf

from keras_sat.pictures.boxes import CROP_SHARE


def flipped_boxes(boxes):
    """The boxes after a horizontal flip of their picture.

    Args:
        boxes: float32 [..., 4], fractions of the picture. Padding, which has no width, stays zero.
    Returns:
        float32 [..., 4].
    """
    top, left, bottom, right = tf.unstack(boxes, axis=-1)
    flipped = tf.stack([top, 1 - right, bottom, 1 - left], axis=-1)
    return tf.where((right > left)[..., None], flipped, boxes)


def batch_in_crop(boxes, shapes):
    """Whole pictures' boxes in fractions of the encoder's centre crop.

    Unlike those of `boxes.in_crop` they are not clipped to the crop.

    Args:
        boxes: float32 [B, M, 4].
        shapes: int32 [B, 2], the height and width of each whole picture.
    Returns:
        float32 [B, M, 4].
    """
    shapes = tf.cast(tf.tile(tf.maximum(shapes, 1), [1, 2]), tf.float32)  # [B, 4]
    shorter_side = tf.reduce_min(shapes, axis=-1, keepdims=True)
    crop_shares = shorter_side * CROP_SHARE / shapes
    return (boxes - 0.5) / crop_shares[:, None] + 0.5


def usable_boxes(boxes):
    """The boxes clipped to the picture, those with an area first, then zeros.

    An image without such a box gets the whole picture, as `boxes.strongest_first` gives it.

    Args:
        boxes: float32 [B, M, 4].
    Returns:
        float32 [B, M, 4].
    """
    boxes = tf.clip_by_value(tf.where(tf.math.is_finite(boxes), boxes, 0.0), 0.0, 1.0)
    empty = tf.reduce_any(boxes[..., 2:] <= boxes[..., :2], axis=-1)  # [B, M]
    order = tf.argsort(tf.cast(empty, tf.int32), axis=-1, stable=True)
    boxes = tf.gather(tf.where(empty[..., None], 0.0, boxes), order, batch_dims=1)
    whole_picture = tf.pad([[0.0, 0.0, 1.0, 1.0]], [[0, boxes.shape[1] - 1], [0, 0]])  # [M, 4]
    all_empty = tf.reduce_all(empty, axis=-1)
    return tf.where(all_empty[:, None, None], whole_picture, boxes)
