"""How well captions agree, computed in the graph."""

import tensorflow as tf

from keras_sat.text.ids import PAD, caption_lengths

LONGEST = 4  # words of an n-gram, as in BLEU and CIDEr


def agreement(captions, others):
    """How many n-grams captions share: the F-measure of clipped matches, averaged over n = 1 … 4.

    END counts as a word, PAD does not.

    Args:
        captions: int32 [B, K, T].
        others: int32 [B, M, T′].

    Returns:
        float32 [B, K, M], 0–1.
    """
    total = 0.0
    within = _same_ngrams(captions, captions)
    between = _same_ngrams(captions[:, :, None], others[:, None])
    for n, (own, shared) in enumerate(zip(within, between), start=1):
        # Clipped: the third of three equal n-grams matches where the other caption has three, too.
        nth = _count(tf.linalg.band_part(own, -1, 0))[:, :, None]  # [B, K, 1, T−n+1]
        matches = _count((nth > 0) & (nth <= _count(shared)))
        ngrams = _ngrams(captions, n)[:, :, None] + _ngrams(others, n)[:, None]  # [B, K, M]
        total += 2 * matches / tf.maximum(ngrams, 1)
    return tf.cast(total / LONGEST, tf.float32)


def _ngrams(captions, n):
    """The number of n-grams that captions have, int32 [B, ·]."""
    return tf.maximum(caption_lengths(captions) - n + 1, 0)


def _same_ngrams(first, second):
    """Whether the n-grams at the places of two sets of captions are the same, for n = 1 … 4.

    Args:
        first: int32 [..., T].
        second: int32 [..., T′].

    Returns:
        A list of bool [..., T−n+1, T′−n+1].
    """
    words = (first[..., :, None] == second[..., None, :]) & (first != PAD)[..., None]
    same = [words]
    for n in range(1, LONGEST):
        same.append(same[-1][..., :-1, :-1] & words[..., n:, n:])
    return same


def _count(true):
    return tf.math.count_nonzero(true, axis=-1, dtype=tf.int32)
