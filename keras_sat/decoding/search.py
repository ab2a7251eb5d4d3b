"""Captions from a captioner, in the graph, through the captioner's contract alone: beam search, sampling, consensus.

    found = generate(model, model.encode(inputs), config.Decoding(beam=5, length_penalty=0.7), best=3)
    found["captions"]        # int32 [B, 3, T]

Search and sampling are each one loop over at most T steps, whose hypotheses share an image's annotations. An image's
captions do not depend on the others of its batch.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_sat.decoding.agreement import agreement
from keras_sat.layers.noise import image_draws, image_seeds, place
from keras_sat.text.ids import END, PAD, START, UNKNOWN, caption_lengths

_IMPOSSIBLE = -np.inf


def generate(model, annotations, config, best=1):
    """The best captions of images, and where the captioner looked for the first of them.

    Args:
        model: a `Captioner` or an `Ensemble`. annotations: of B images, from `model.encode`.
        config: a `keras_sat.config.Decoding`; T is its `max_length`, K its `beam`.
        best: how many captions an image, at most K.
    Returns:
        {"captions": int32 [B, best, T], best first, padded with PAD after END; one of T words lacks its END;
        "log_probs": [B, best], log p of the caption; "scores": [B, best], what they are ranked by: log p / length^α, or
        what `_consensus` says; "attention": [B, T, L] of the first caption, zero at padding; "boxes": [B, L, 4]}. Where
        there are fewer captions than `best` at all, the rest is empty and its scores are −inf.
    """
    search = {"beam": _beam_search, "sample": _best_samples, "consensus": _consensus}[config.method]
    captions, log_probs, scores, slots, looks = search(model, annotations, config, best)
    attention = tf.gather(tf.transpose(looks, [1, 0, 2, 3]), slots[:, 0], batch_dims=2)
    attention = tf.ensure_shape(attention, [None, config.max_length, annotations["boxes"].shape[1]])
    return {
        "captions": captions,
        "log_probs": log_probs,
        "scores": scores,
        "attention": tf.where(captions[:, 0, :, None] == PAD, 0.0, attention),
        "boxes": annotations["boxes"],
    }


def caption_function(model, config, best=1):
    """`generate`, compiled, as a function of the model's inputs {name: [B, …]}."""
    specs = [model.input_specs()]
    return tf.function(
        lambda inputs: generate(model, model.encode(inputs), config, best), specs, autograph=False
    )


def _beam_search(model, annotations, config, best):
    """At every step all hypotheses are extended. Of the K best extensions, those with END are finished; K others go on.

    An image is done when no hypothesis that goes on can come to stand among its `best` finished ones any more. Where fewer
    finish within T, unfinished ones follow.

    Returns:
        captions [B, best, T]; log_probs and scores [B, best]; slots [B, best, T]: which of the K hypotheses of step t a
        caption was then; and looks [T, B, K, L]: where each of those looked.
    """
    batch, beam, length = tf.shape(annotations["boxes"])[0], config.beam, config.max_length
    alpha = config.length_penalty if beam > 1 else 0.0  # a beam of 1 is greedy decoding

    def step(t, words, alive, finished, looks, state):
        log_probs, attention, state = model.step(words, state, annotations)
        size = log_probs.shape[-1]
        extended = alive["log_probs"][..., None] + _allowed(
            log_probs, alive["captions"], t, config
        )  # [B, K, V]
        # Each hypothesis has one END: of 2K extensions, K at least go on.
        log_probs, places = tf.math.top_k(tf.reshape(extended, [-1, beam * size]), 2 * beam)
        parents, words = places // size, places % size
        traced = {name: _take(alive[name], parents) for name in ("captions", "slots")}  # [B, 2K, T]
        traced = {
            "captions": _write(traced["captions"], t, words),
            "slots": _write(traced["slots"], t, parents),
        }

        ended = tf.where(words == END, log_probs, _IMPOSSIBLE)[:, :beam]
        ended = {"scores": ended / tf.cast(t + 1, tf.float32) ** alpha, "log_probs": ended}
        ended |= {name: each[:, :beam] for name, each in traced.items()}
        finished = {name: tf.concat([finished[name], ended[name]], axis=1) for name in ended}
        finished = _take(finished, tf.math.top_k(finished["scores"], best).indices)

        log_probs, going_on = tf.math.top_k(tf.where(words == END, _IMPOSSIBLE, log_probs), beam)
        alive = {"log_probs": log_probs, **_take(traced, going_on)}
        if beam > 1:
            state = _take(state, _take(parents, going_on))
        return t + 1, _take(words, going_on), alive, finished, looks.write(t, attention), state

    def some_open(t, words, alive, finished, looks, state):
        # The most that a hypothesis can still reach: further words cost nothing, and it becomes as long as can be.
        bound = alive["log_probs"][:, 0] / float(length) ** alpha
        return (t == 0) | tf.reduce_any(bound > finished["scores"][:, -1])

    def nothing(n):
        return {
            "log_probs": tf.fill([batch, n], _IMPOSSIBLE),
            "captions": tf.fill([batch, n, length], PAD),
            "slots": tf.zeros([batch, n, length], tf.int32),
        }

    alive, finished = nothing(beam), nothing(best)
    alive["log_probs"] = tf.where(
        tf.range(beam) == 0, 0.0, alive["log_probs"]
    )  # all begin alike: one will do
    finished["scores"] = finished["log_probs"]
    looks = tf.TensorArray(tf.float32, length)
    start = (
        0,
        tf.fill([batch, beam], START),
        alive,
        finished,
        looks,
        model.initial_state(annotations, beam),
    )
    _, _, alive, finished, looks, _ = tf.while_loop(
        some_open, step, start, maximum_iterations=length
    )

    count = tf.reduce_sum(
        tf.cast(finished["log_probs"] > _IMPOSSIBLE, tf.int32), axis=1, keepdims=True
    )
    ranks = tf.range(best)
    order = tf.where(
        ranks < count, ranks, best + ranks - count
    )  # the finished ones, then those that went on
    found = _take({name: tf.concat([finished[name], alive[name]], axis=1) for name in alive}, order)
    captions = tf.where(found["log_probs"][..., None] > _IMPOSSIBLE, found["captions"], PAD)
    return (
        captions,
        found["log_probs"],
        _by_length(found["log_probs"], captions, config),
        found["slots"],
        looks.stack(),
    )


def _best_samples(model, annotations, config, best):
    """Of K samples the likeliest, which come first.

    Returns: see `_beam_search`.
    """
    captions, log_probs, looks = sample(model, annotations, config, _draws(annotations, config))
    log_probs, order = tf.math.top_k(log_probs, best)
    captions, slots = _take(captions, order), tf.tile(order[..., None], [1, 1, config.max_length])
    return captions, log_probs, _by_length(log_probs, captions, config), slots, looks


def _consensus(model, annotations, config, best):
    """The K hypotheses of beam search, in the order in which they agree with what the captioner says: with samples of it.

        score(y) = 1/M Σ_m agreement(y, y_m) + λ log p(y) / length^α        M = `samples`, λ = `likelihood_weight`

    For λ = 0 that is the order of the expected agreement (minimum Bayes risk), for a large λ that of beam search.

    Returns: see `_beam_search`.
    References: Kumar & Byrne 2004, "Minimum Bayes-risk decoding for statistical machine translation"; Devlin et al. 2015,
    "Exploring nearest neighbor approaches for image captioning", whose consensus is with captions of other images.
    """
    captions, log_probs, by_length, slots, looks = _beam_search(
        model, annotations, config, config.beam
    )
    judges = dataclasses.replace(config, beam=config.samples)
    samples, _, _ = sample(model, annotations, judges, _draws(annotations, judges))
    scores = (
        tf.reduce_mean(agreement(captions, samples), axis=-1) + config.likelihood_weight * by_length
    )
    scores = tf.where(log_probs > _IMPOSSIBLE, scores, _IMPOSSIBLE)
    order = tf.argsort(scores, direction="DESCENDING", stable=True)
    unfinished = tf.cast(tf.reduce_all(_take(captions, order) != END, axis=-1), tf.int32)
    order = _take(order, tf.argsort(unfinished, stable=True))[
        :, :best
    ]  # as in beam search, they follow the finished ones
    return *_take((captions, log_probs, scores, slots), order), looks


def _by_length(log_probs, captions, config):
    """log p / length^α [B, n] of captions [B, n, T]."""
    lengths = tf.cast(tf.maximum(caption_lengths(captions), 1), tf.float32)
    return log_probs / lengths**config.length_penalty


def _draws(annotations, config):
    """Uniform draws [B, T, K] that are a function of the image and the seed."""
    seeds = image_seeds(annotations["summary"])
    seeds = tf.stack([seeds, tf.fill(tf.shape(seeds), config.seed)], axis=-1)
    return image_draws(seeds, [config.max_length, config.beam])


def sample(model, annotations, config, draws):
    """K captions drawn word by word.

    Args:
        model, annotations, config: see `generate`. draws: uniform in [0, 1), float32 [B, T, K].
    Returns:
        captions [B, K, T]; log_probs [B, K], before temperature and cuts; looks [T, B, K, L].
    """
    batch, beam, length = tf.shape(annotations["boxes"])[0], config.beam, config.max_length

    def step(t, words, done, captions, log_probs, looks, state):
        log_p, attention, state = model.step(words, state, annotations)
        allowed = _allowed(log_p, captions, t, config)
        words = tf.where(done, PAD, _draw(allowed, draws[:, t], config))
        log_probs += tf.where(done, 0.0, tf.gather(allowed, words, batch_dims=2))
        return (
            t + 1,
            words,
            done | (words == END),
            _write(captions, t, words),
            log_probs,
            looks.write(t, attention),
            state,
        )

    start = (
        tf.fill([batch, beam], START),
        tf.fill([batch, beam], False),
        tf.fill([batch, beam, length], PAD),
        tf.zeros([batch, beam]),
        tf.TensorArray(tf.float32, length),
    )
    *_, captions, log_probs, looks, _ = tf.while_loop(
        lambda t, words, done, *_: (t == 0) | ~tf.reduce_all(done),
        step,
        (0, *start, model.initial_state(annotations, beam)),
        maximum_iterations=length,
    )
    return captions, log_probs, looks.stack()


def _draw(log_probs, draws, config):
    """Words [B, K] of distributions [B, K, V], changed by the temperature and cut to their likeliest words."""
    scores, size = log_probs / config.temperature, log_probs.shape[-1]
    if not config.top_k and config.top_p == 1:
        return place(tf.nn.softmax(scores), draws)  # without sorting all words, which is slow
    scores, words = tf.math.top_k(scores, min(config.top_k or size, size))
    probs = tf.nn.softmax(scores)
    kept = (
        tf.cumsum(probs, axis=-1, exclusive=True) < config.top_p
    )  # the fewest words that hold the share top_p
    return tf.gather(words, place(tf.where(kept, probs, 0.0), draws), batch_dims=2)


def _allowed(log_probs, captions, t, config):
    """log p [B, K, V] of the word at step t after captions [B, K, T]; −inf for what the settings forbid.

    Where they forbid every word, the caption may end.
    """
    size = log_probs.shape[-1]
    ids = tf.range(size)
    forbidden = (ids == PAD) | (ids == START) | ((ids == UNKNOWN) & (not config.unknown))
    allowed = tf.where(forbidden | ((ids == END) & (t < config.min_length)), _IMPOSSIBLE, log_probs)
    if config.no_repeat_ngram:
        allowed = _without_repeats(allowed, captions, t, config.no_repeat_ngram)
    none = tf.reduce_all(tf.math.is_inf(allowed), axis=-1, keepdims=True)
    return tf.where(none & (ids == END), log_probs, allowed)


def _without_repeats(log_probs, captions, t, n):
    """Forbids the words that would complete an n-gram that the caption holds already."""
    starts = np.arange(captions.shape[-1] - n + 1)
    grams = tf.gather(captions, starts[:, None] + np.arange(n), axis=-1)  # [B, K, T−n+1, n]
    latest = tf.gather(captions, tf.maximum(t - n + 1 + np.arange(n - 1), 0), axis=-1)[
        :, :, None
    ]  # the n−1 words before t
    complete = tf.constant(starts + n, tf.int32) <= t
    repeated = complete & tf.reduce_all(grams[..., :-1] == latest, axis=-1)
    words = tf.where(repeated, grams[..., -1], PAD)  # PAD is forbidden anyway
    batch, beam, count = tf.unstack(tf.shape(words))
    places = tf.stack(
        [*tf.meshgrid(tf.range(batch), tf.range(beam), tf.range(count), indexing="ij")[:2], words],
        axis=-1,
    )
    return tf.tensor_scatter_nd_update(
        log_probs, places, tf.fill([batch, beam, count], _IMPOSSIBLE)
    )


def _write(captions, t, words):
    """Captions [B, n, T] with words [B, n] at step t."""
    return tf.where(tf.range(captions.shape[-1]) == t, words[..., None], captions)


def _take(tensors, places):
    """Of nested tensors [B, n, …] the hypotheses at places [B, m]."""
    return tf.nest.map_structure(lambda each: tf.gather(each, places, batch_dims=1), tensors)
