"""What the decoding methods share: results, allowed words, and the ranking of captions."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_sat.text.ids import END, PAD, START, UNKNOWN, caption_lengths

IMPOSSIBLE = -np.inf  # the log-probability of what is not a hypothesis


class Found(NamedTuple):
    """The best captions of B images, best first.

    Attributes:
        captions: int32 [B, best, T].
        log_probs: float32 [B, best].
        scores: float32 [B, best].
        origins: int32 [B, best, T], the beam position (0 … K−1) of the caption at each step.
        attention: the attention history [T, B, K, L] of all beam positions.
    """

    captions: tf.Tensor
    log_probs: tf.Tensor
    scores: tf.Tensor
    origins: tf.Tensor
    attention: tf.Tensor


def by_length(log_probs, captions, config):
    """log p / length^α [B, n] of captions [B, n, T]."""
    lengths = tf.cast(tf.maximum(caption_lengths(captions), 1), tf.float32)
    return log_probs / lengths**config.length_penalty


def allowed(log_probs, captions, t, config):
    """log p of the word at step t, −inf for words that the settings forbid.

    Where they forbid every word, the caption may end.

    Args:
        log_probs: [B, K, V].
        captions: int32 [B, K, T], of which t words are known.
        t: int32 [].
        config: a `keras_sat.config.Decoding`.

    Returns:
        float32 [B, K, V].
    """
    ids = tf.range(log_probs.shape[-1])
    forbidden = (ids == PAD) | (ids == START) | ((ids == UNKNOWN) & (not config.unknown))
    too_early = (ids == END) & (t < config.min_length)
    possible = tf.where(forbidden | too_early, IMPOSSIBLE, log_probs)
    if config.no_repeat_ngram:
        possible = _without_repeats(possible, captions, t, config.no_repeat_ngram)
    none = tf.reduce_all(tf.math.is_inf(possible), axis=-1, keepdims=True)
    return tf.where(none & (ids == END), log_probs, possible)


def _without_repeats(log_probs, captions, t, n):
    """Forbids the words that would complete an n-gram that the caption already contains."""
    starts = np.arange(captions.shape[-1] - n + 1)
    grams = tf.gather(captions, starts[:, None] + np.arange(n), axis=-1)  # [B, K, T−n+1, n]
    before = tf.maximum(t - n + 1 + np.arange(n - 1), 0)
    latest = tf.gather(captions, before, axis=-1)[:, :, None]  # the n−1 words before t
    complete = tf.constant(starts + n, tf.int32) <= t
    repeated = complete & tf.reduce_all(grams[..., :-1] == latest, axis=-1)
    words = tf.where(repeated, grams[..., -1], PAD)  # PAD is forbidden anyway
    batch, beam, count = tf.unstack(tf.shape(words))
    image, hypothesis, _ = tf.meshgrid(
        tf.range(batch), tf.range(beam), tf.range(count), indexing="ij"
    )
    places = tf.stack([image, hypothesis, words], axis=-1)
    impossible = tf.fill([batch, beam, count], IMPOSSIBLE)
    return tf.tensor_scatter_nd_update(log_probs, places, impossible)


def write(captions, t, words):
    """Captions [B, n, T] with words [B, n] at step t."""
    return tf.where(tf.range(captions.shape[-1]) == t, words[..., None], captions)


def take(tensors, places):
    """The hypotheses at places [B, m] of nested tensors [B, n, …]."""
    return tf.nest.map_structure(lambda each: tf.gather(each, places, batch_dims=1), tensors)
