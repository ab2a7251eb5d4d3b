"""The quantised form in which feature maps are stored."""

import tensorflow as tf


def quantise(regions, quantisation):
    """Annotations in the form in which they are stored.

    Args:
        regions: float32 [..., L, D].
        quantisation: `uint8` (a minimum and a scale a region) or `float16`.
    Returns:
        (values, minimum, scale), tensors: uint8 [..., L, D], float32 [..., L], float32 [..., L]; or float16 [..., L, D],
        None, None.
    """
    if quantisation == "float16":
        return tf.cast(regions, tf.float16), None, None
    minimum = tf.reduce_min(regions, axis=-1)
    scale = (tf.reduce_max(regions, axis=-1) - minimum) / 255
    steps = (regions - minimum[..., None]) / tf.where(scale > 0, scale, 1)[..., None]
    return tf.cast(tf.round(steps), tf.uint8), minimum, scale


def dequantise(values, minimum=None, scale=None):
    """The float32 annotations [..., L, D] of what `quantise` returned, as NumPy arrays or tensors."""
    values = tf.cast(values, tf.float32)
    return values if minimum is None else values * scale[..., None] + minimum[..., None]
