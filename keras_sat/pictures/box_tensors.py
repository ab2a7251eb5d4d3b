"""Boxes (ymin, xmin, ymax, xmax) on pictures as TensorFlow tensors, by ops that stock TensorFlow Serving has."""

import tensorflow as tf

from keras_sat.pictures.boxes import CROP_SHARE


def flipped_boxes(boxes):
    """Boxes [..., 4] (ymin, xmin, ymax, xmax, each 0 to 1) in the mirror image; padding, which has no width, stays zero."""
    top, left, bottom, right = tf.unstack(boxes, axis=-1)
    return tf.where(
        (right > left)[..., None], tf.stack([top, 1 - right, bottom, 1 - left], axis=-1), boxes
    )


def batch_in_crop(boxes, shapes):
    """`keras_sat.pictures.boxes.in_crop` of a batch: boxes [B, M, 4] of whole pictures of shapes int32 [B, 2]."""
    shapes = tf.cast(tf.tile(tf.maximum(shapes, 1), [1, 2]), tf.float32)
    seen = tf.reduce_min(shapes, axis=-1, keepdims=True) * CROP_SHARE / shapes
    return (boxes - 0.5) / seen[:, None] + 0.5


def usable_boxes(boxes):
    """The boxes float32 [B, M, 4] that have an area, as far as they lie in the picture, followed by zeros.

    An image without any has one of the whole picture, as `keras_sat.pictures.proposals.propose` gives it.
    """
    boxes = tf.clip_by_value(tf.where(tf.math.is_finite(boxes), boxes, 0.0), 0.0, 1.0)
    empty = tf.reduce_any(boxes[..., 2:] <= boxes[..., :2], axis=-1)
    order = tf.argsort(tf.cast(empty, tf.int32), axis=-1, stable=True)
    boxes = tf.gather(tf.where(empty[..., None], 0.0, boxes), order, batch_dims=1)
    whole = tf.pad([[0.0, 0.0, 1.0, 1.0]], [[0, boxes.shape[1] - 1], [0, 0]])
    return tf.where(tf.reduce_all(empty, axis=-1)[:, None, None], whole, boxes)
