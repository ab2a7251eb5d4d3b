"""Loss terms, as sums over captions.

Each function returns the sum over this replica's captions; the caller divides by the global count.
"""

import tensorflow as tf

from keras_sat.text.ids import PAD, caption_mask


def cross_entropy(log_probs, captions, label_smoothing=0.0):
    """− Σ log p(y_t) over all words of all captions.

    Args:
        log_probs: [B, N, T, V].
        captions: int32 [B, N, T], padded with PAD.
        label_smoothing: ε; the target is (1 − ε) y + ε uniform over the words that can be
            predicted.

    Returns:
        float32 [].
    """
    chosen = word_log_probs(log_probs, captions)
    if label_smoothing:
        uniform = tf.reduce_mean(log_probs[..., PAD + 2 :], axis=-1)  # without PAD and START
        uniform = tf.where(captions != PAD, uniform, 0.0)
        chosen = (1 - label_smoothing) * chosen + label_smoothing * uniform
    return -tf.reduce_sum(chosen)


def distillation(log_probs, teacher, captions):
    """− Σ_t Σ_w q(w) log p(w) over all words of all captions, for a teacher's distribution q.

    Args:
        log_probs: log p, [B, N, T, V].
        teacher: log q, [B, N, T, V].
        captions: int32 [B, N, T], padded with PAD.

    Returns:
        float32 [].

    Reference:
        Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network", section 2, at a
        temperature of 1.
    """
    each = tf.reduce_sum(tf.exp(tf.stop_gradient(teacher)) * log_probs, axis=-1)
    return -tf.reduce_sum(tf.where(captions != PAD, each, 0.0))


def word_log_probs(log_probs, captions):
    """log p(y_t) of each word, zero at padding; float32 [B, N, T]."""
    return tf.where(captions != PAD, tf.gather(log_probs, captions, batch_dims=3), 0.0)


def attention_entropy(attention, captions):
    """Σ_t H[α_t] of each caption, in nats.

    Args:
        attention: [B, N, T, L].
        captions: int32 [B, N, T].

    Returns:
        float32 [B, N].
    """
    logs = tf.math.xlogy(attention, tf.maximum(attention, 1e-30))
    entropy = -tf.reduce_sum(logs, axis=-1)  # [B, N, T]
    return tf.reduce_sum(entropy * caption_mask(captions), axis=-1)


def doubly_stochastic_penalty(attention, captions, normalisation="paper"):
    """Σ_i (1 − Σ_t α_ti)²: over a caption, every region should get a total attention of one.

    The normalisations in use, for C captions (over all replicas) and L regions:

    * `paper`: mean over captions of Σ_i (…)²;
    * `arctic`, the authors' code: Σ over captions of mean_i (…)²;
    * `mean`: mean over captions and regions.

    So paper = L · mean and arctic = C · mean. Padded steps carry no attention, and captions of
    padding alone have no penalty.

    Args:
        attention: [B, N, T, L].
        captions: int32 [B, N, T].
        normalisation: paper, arctic or mean.

    Returns:
        A scalar: this replica's sum. The caller divides `paper` and `mean` by C.

    Reference: Xu et al. 2015, equation 14.
    """
    mask = caption_mask(captions)
    uncovered = 1 - tf.reduce_sum(attention * mask[..., None], axis=2)  # [B, N, L]
    squares = tf.reduce_sum(uncovered**2, axis=-1)  # [B, N]
    per_caption = squares * tf.reduce_max(mask, axis=-1)
    regions = 1 if normalisation == "paper" else tf.shape(attention)[-1]
    return tf.reduce_sum(per_caption) / tf.cast(regions, tf.float32)
