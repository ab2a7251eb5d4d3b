"""Captions as ids, int32 [..., T]: words, END, then PAD."""

import tensorflow as tf

from keras_sat.text.vocabulary import PAD, START


def caption_mask(captions):
    """1.0 at words and END, 0.0 at padding; float32 [..., T]."""
    return tf.cast(captions != PAD, tf.float32)


def caption_lengths(captions):
    """Ids of captions [..., T], END included; int32 [...]."""
    return tf.math.count_nonzero(captions != PAD, axis=-1, dtype=tf.int32)


def longest_first(captions):
    """Captions [..., N, T] in the order in which `layers.scan` leaves them out soonest."""
    order = tf.argsort(caption_lengths(captions), direction="DESCENDING", stable=True)
    return tf.gather(captions, order, batch_dims=captions.shape.rank - 2)


def shift_right(captions):
    """The inputs that predict captions [B, N, T]: START in front, the last one dropped."""
    return tf.pad(captions[..., :-1], [[0, 0], [0, 0], [1, 0]], constant_values=START)
