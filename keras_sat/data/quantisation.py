"""The quantised form in which feature maps are stored."""

# TensorFlow's stubs lack a few names, dictionaries of tensors, and None in a slice.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import tensorflow as tf


def quantise(regions, quantisation):
    """Annotations in the form in which they are stored.

    Args:
        regions: float32 [..., L, D].
        quantisation: `uint8` (with one minimum and one scale per region) or `float16`.
    Returns:
        (values, minimum, scale), tensors. For `uint8`: uint8 [..., L, D], float32 [..., L] and
        float32 [..., L]. For `float16`: float16 [..., L, D], None and None.
    """
    if quantisation == "float16":
        return tf.cast(regions, tf.float16), None, None
    minimum = tf.reduce_min(regions, axis=-1)
    scale = (tf.reduce_max(regions, axis=-1) - minimum) / 255
    steps = (regions - minimum[..., None]) / tf.where(scale > 0, scale, 1)[..., None]
    return tf.cast(tf.round(steps), tf.uint8), minimum, scale


def dequantise(values, minimum=None, scale=None):
    """The annotations that `quantise` was given, up to its error.

    Args:
        values: [..., L, D], NumPy array or tensor.
        minimum: [..., L], or None for `float16`.
        scale: [..., L], or None for `float16`.
    Returns:
        float32 tensor [..., L, D].
    """
    values = tf.cast(values, tf.float32)
    if minimum is None or scale is None:
        return values
    return values * scale[..., None] + minimum[..., None]
