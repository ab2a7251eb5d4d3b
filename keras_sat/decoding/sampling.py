"""Captions drawn word by word from the captioner's distribution."""

from typing import Any, NamedTuple

import tensorflow as tf

from keras_sat.decoding.hypotheses import Found, allowed, by_length, take, write
from keras_sat.layers.noise import image_draws, image_seeds, place
from keras_sat.text.ids import END, PAD, START


class Samples(NamedTuple):
    """K captions per image, in the order in which they were drawn.

    Attributes:
        captions: int32 [B, K, T].
        log_probs: float32 [B, K], before temperature and truncation to the likeliest words.
        attention: float32 [T, B, K, L].
    """

    captions: tf.Tensor
    log_probs: tf.Tensor
    attention: tf.Tensor


class _Loop(NamedTuple):
    """The state of sampling before step t.

    Attributes:
        t: int32 [].
        words: int32 [B, K], the last words.
        done: bool [B, K], whether a caption has ended.
        captions: see `Samples`.
        log_probs: see `Samples`.
        attention: a TensorArray of [B, K, L], one per step.
        state: the model's.
    """

    t: tf.Tensor
    words: tf.Tensor
    done: tf.Tensor
    captions: tf.Tensor
    log_probs: tf.Tensor
    attention: tf.TensorArray
    state: Any


def best_samples(model, annotations, config, best):
    """The likeliest of K samples, in the order of their probability.

    The arguments are those of `keras_sat.decoding.search.generate`.

    Returns:
        A `Found`.
    """
    samples = sample(model, annotations, config, image_noise(annotations, config))
    log_probs, order = tf.math.top_k(samples.log_probs, best)
    captions = take(samples.captions, order)
    return Found(
        captions=captions,
        log_probs=log_probs,
        scores=by_length(log_probs, captions, config),
        origins=tf.tile(order[..., None], [1, 1, config.max_length]),
        attention=samples.attention,
    )


def image_noise(annotations, config):
    """Uniform draws [B, T, K] for `sample`, a function of the image and the seed."""
    seeds = image_seeds(annotations["summary"])
    seeds = tf.stack([seeds, tf.fill(tf.shape(seeds), config.seed)], axis=-1)  # [B, 2]
    return image_draws(seeds, [config.max_length, config.beam])


def sample(model, annotations, config, draws):
    """K captions drawn word by word.

    Args:
        model: a `Captioner` or an `Ensemble`.
        annotations: of B images, from `model.encode`.
        config: a `keras_sat.config.Decoding`; T is its `max_length`, K its `beam`.
        draws: uniform in [0, 1), float32 [B, T, K].

    Returns:
        `Samples`.
    """
    batch = tf.shape(annotations["boxes"])[0]
    beam = config.beam

    def is_open(loop):
        return (loop.t == 0) | ~tf.reduce_all(loop.done)

    def step(loop):
        log_probs, attention, state = model.step(loop.words, loop.state, annotations)
        possible = allowed(log_probs, loop.captions, loop.t, config)
        words = tf.where(loop.done, PAD, _draw(possible, draws[:, loop.t], config))
        gained = tf.gather(possible, words, batch_dims=2)
        following = _Loop(
            t=loop.t + 1,
            words=words,
            done=loop.done | (words == END),
            captions=write(loop.captions, loop.t, words),
            log_probs=loop.log_probs + tf.where(loop.done, 0.0, gained),
            attention=loop.attention.write(loop.t, attention),
            state=state,
        )
        return (following,)

    start = _Loop(
        t=0,
        words=tf.fill([batch, beam], START),
        done=tf.fill([batch, beam], False),
        captions=tf.fill([batch, beam, config.max_length], PAD),
        log_probs=tf.zeros([batch, beam]),
        attention=tf.TensorArray(tf.float32, config.max_length),
        state=model.initial_state(annotations, beam),
    )
    (loop,) = tf.while_loop(is_open, step, (start,), maximum_iterations=config.max_length)
    return Samples(loop.captions, loop.log_probs, loop.attention.stack())


def _draw(log_probs, draws, config):
    """One word per caption, drawn after temperature and truncation to the likeliest words.

    Args:
        log_probs: [B, K, V].
        draws: uniform in [0, 1), [B, K].
        config: a `keras_sat.config.Decoding`.

    Returns:
        int32 [B, K].
    """
    scores = log_probs / config.temperature
    if not config.top_k and config.top_p == 1:
        return place(tf.nn.softmax(scores), draws)  # without sorting all words, which is slow
    size = log_probs.shape[-1]
    scores, words = tf.math.top_k(scores, min(config.top_k or size, size))
    probs = tf.nn.softmax(scores)
    # The fewest words whose probabilities add up to top_p.
    kept = tf.cumsum(probs, axis=-1, exclusive=True) < config.top_p
    chosen = place(tf.where(kept, probs, 0.0), draws)
    return tf.gather(words, chosen, batch_dims=2)
