"""Beam search whose hypotheses are reordered by their agreement with sampled captions."""

import dataclasses

import tensorflow as tf

from keras_sat.decoding.agreement import agreement
from keras_sat.decoding.beam import beam_search
from keras_sat.decoding.hypotheses import IMPOSSIBLE, Found, take
from keras_sat.decoding.sampling import image_noise, sample
from keras_sat.text.ids import END


def consensus(model, annotations, config, best):
    """The K hypotheses of beam search, ordered by their agreement with M samples.

        score(y) = 1/M Σ_m agreement(y, y_m) + λ log p(y) / length^α

    M is `config.samples`, λ is `config.likelihood_weight`. With λ = 0 the order is that of the
    expected agreement (minimum Bayes risk), with a large λ that of beam search.

    The arguments are those of `keras_sat.decoding.search.generate`.

    Returns:
        A `Found`.

    Reference:
        Kumar & Byrne 2004, "Minimum Bayes-risk decoding for statistical machine translation";
        Devlin et al. 2015, "Exploring nearest neighbor approaches for image captioning", whose
        consensus is with captions of other images.
    """
    found = beam_search(model, annotations, config, config.beam)
    judges = dataclasses.replace(config, beam=config.samples)
    samples = sample(model, annotations, judges, image_noise(annotations, judges))
    agreed = tf.reduce_mean(agreement(found.captions, samples.captions), axis=-1)  # [B, K]
    scores = agreed + config.likelihood_weight * found.scores
    scores = tf.where(found.log_probs > IMPOSSIBLE, scores, IMPOSSIBLE)
    order = tf.argsort(scores, direction="DESCENDING", stable=True)
    # As in beam search, unfinished hypotheses follow the finished ones.
    unfinished = tf.reduce_all(take(found.captions, order) != END, axis=-1)
    order = take(order, tf.argsort(tf.cast(unfinished, tf.int32), stable=True))[:, :best]
    captions, log_probs, scores, origins = take(
        (found.captions, found.log_probs, scores, found.origins), order
    )
    return Found(captions, log_probs, scores, origins, found.attention)
