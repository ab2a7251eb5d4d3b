"""Captions as ids, int32 [..., T]: the ids of words, then END, then PAD."""

import tensorflow as tf

SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")
PAD, START, END, UNKNOWN = range(len(SPECIALS))


def caption_mask(captions):
    """1.0 at words and END, 0.0 at padding; float32 [..., T]."""
    return tf.cast(captions != PAD, tf.float32)


def caption_lengths(captions):
    """The number of ids of captions [..., T], END included; int32 [...]."""
    return tf.math.count_nonzero(captions != PAD, axis=-1, dtype=tf.int32)


def longest_first(captions):
    """Captions [..., N, T] in descending order of length, in which `layers.scan` does least work.

    Captions of equal length keep their order.
    """
    order = tf.argsort(caption_lengths(captions), direction="DESCENDING", stable=True)
    return tf.gather(captions, order, batch_dims=captions.shape.rank - 2)


def shift_right(captions):
    """The inputs from which captions [B, N, T] are predicted: START first, the last id dropped."""
    return tf.pad(captions[..., :-1], [[0, 0], [0, 0], [1, 0]], constant_values=START)
