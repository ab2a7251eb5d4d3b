"""Beam search."""

from typing import Any, NamedTuple

import tensorflow as tf

from keras_sat.decoding.hypotheses import IMPOSSIBLE, Found, allowed, by_length, take, write
from keras_sat.text.ids import END, PAD, START


def beam_search(model, annotations, config, best):
    """Extends all hypotheses of an image at every step and keeps the best.

    Of the K best extensions those with END are finished; the K best without END continue. Of equal
    scores the hypothesis at the lower beam position comes first, then the word of the lower id.
    Search stops for an image once no unfinished hypothesis can still enter its top `best` finished
    captions. Where fewer than `best` finish within T steps, unfinished ones follow.

    The arguments are those of `keras_sat.decoding.search.generate`.

    Returns:
        A `Found`.
    """
    search = _BeamSearch(model, annotations, config, best)
    (loop,) = tf.while_loop(
        search.is_open,
        lambda loop: (search.step(loop),),
        (search.start(),),
        maximum_iterations=config.max_length,
    )
    return search.found(loop)


class _Hypotheses(NamedTuple):
    """n hypotheses per image.

    Attributes:
        log_probs: float32 [B, n].
        captions: int32 [B, n, T].
        origins: int32 [B, n, T], see `Found`.
    """

    log_probs: tf.Tensor
    captions: tf.Tensor
    origins: tf.Tensor


class _Finished(NamedTuple):
    """The best finished hypotheses, best first.

    Attributes:
        hypotheses: the `_Hypotheses`.
        scores: float32 [B, best], log p / length^α.
    """

    hypotheses: _Hypotheses
    scores: tf.Tensor


class _Loop(NamedTuple):
    """The state of the search before step t.

    Attributes:
        t: int32 [].
        words: int32 [B, K], the last word of each unfinished hypothesis, START at first.
        alive: the K unfinished hypotheses, best first.
        finished: the best finished hypotheses.
        attention: a TensorArray of [B, K, L], one per step.
        state: the model's.
    """

    t: tf.Tensor
    words: tf.Tensor
    alive: _Hypotheses
    finished: _Finished
    attention: tf.TensorArray
    state: Any


class _BeamSearch:
    """The steps of `beam_search`, which has the same arguments."""

    def __init__(self, model, annotations, config, best):
        self._model = model
        self._annotations = annotations
        self._config = config
        self._best = best
        self._batch = tf.shape(annotations["boxes"])[0]
        # A beam of 1 is greedy decoding.
        self._alpha = config.length_penalty if config.beam > 1 else 0.0

    def start(self):
        """The loop before the first step."""
        config = self._config
        alive = self._none(config.beam)
        # All hypotheses begin alike, so one is enough.
        log_probs = tf.where(tf.range(config.beam) == 0, 0.0, alive.log_probs)
        finished = self._none(self._best)
        return _Loop(
            t=0,
            words=tf.fill([self._batch, config.beam], START),
            alive=alive._replace(log_probs=log_probs),
            finished=_Finished(finished, scores=finished.log_probs),
            attention=tf.TensorArray(tf.float32, config.max_length),
            state=self._model.initial_state(self._annotations, config.beam),
        )

    def is_open(self, loop):
        """Whether any image's search continues, bool []."""
        # An upper bound: further words cost nothing, and the caption is as long as possible.
        bound = loop.alive.log_probs[:, 0] / float(self._config.max_length) ** self._alpha
        return (loop.t == 0) | tf.reduce_any(bound > loop.finished.scores[:, -1])

    def step(self, loop):
        log_probs, attention, state = self._model.step(loop.words, loop.state, self._annotations)
        extended, parents, words = self._extend(loop, log_probs)
        finished = self._finish(loop, extended, words)
        alive, kept = self._keep(extended, words)
        if self._config.beam > 1:
            state = take(state, take(parents, kept))
        return _Loop(
            t=loop.t + 1,
            words=take(words, kept),
            alive=alive,
            finished=finished,
            attention=loop.attention.write(loop.t, attention),
            state=state,
        )

    def _extend(self, loop, log_probs):
        """The 2K best extensions of the unfinished hypotheses.

        Returns:
            (`_Hypotheses`, their beam positions before the step [B, 2K], their words [B, 2K]).
        """
        beam = self._config.beam
        size = log_probs.shape[-1]
        possible = allowed(log_probs, loop.alive.captions, loop.t, self._config)
        total = loop.alive.log_probs[..., None] + possible  # [B, K, V]
        # Each hypothesis has one END, so of 2K extensions at least K continue. Of equal values
        # `top_k` takes the lower place first: that is the rule for ties.
        total, places = tf.math.top_k(tf.reshape(total, [-1, beam * size]), 2 * beam)
        parents = places // size
        words = places % size
        captions = write(take(loop.alive.captions, parents), loop.t, words)  # [B, 2K, T]
        origins = write(take(loop.alive.origins, parents), loop.t, parents)
        return _Hypotheses(total, captions, origins), parents, words

    def _finish(self, loop, extended, words):
        """The best finished hypotheses, those that end at this step included.

        Of the extensions only the first K can become finished.
        """
        beam = self._config.beam
        log_probs = tf.where(words == END, extended.log_probs, IMPOSSIBLE)[:, :beam]
        ended = _Finished(
            _Hypotheses(log_probs, extended.captions[:, :beam], extended.origins[:, :beam]),
            scores=log_probs / tf.cast(loop.t + 1, tf.float32) ** self._alpha,
        )
        both = _concatenated(loop.finished, ended)
        return take(both, tf.math.top_k(both.scores, self._best).indices)

    def _keep(self, extended, words):
        """The K best extensions without END, and their places among the 2K."""
        unfinished = tf.where(words == END, IMPOSSIBLE, extended.log_probs)
        log_probs, kept = tf.math.top_k(unfinished, self._config.beam)
        captions = take(extended.captions, kept)
        origins = take(extended.origins, kept)
        return _Hypotheses(log_probs, captions, origins), kept

    def found(self, loop):
        """The result: the finished hypotheses, then unfinished ones where too few finished."""
        best = self._best
        finished = loop.finished.hypotheses
        exist = tf.cast(finished.log_probs > IMPOSSIBLE, tf.int32)
        count = tf.reduce_sum(exist, axis=1, keepdims=True)
        ranks = tf.range(best)
        order = tf.where(ranks < count, ranks, best + ranks - count)
        chosen = take(_concatenated(finished, loop.alive), order)
        captions = tf.where(chosen.log_probs[..., None] > IMPOSSIBLE, chosen.captions, PAD)
        return Found(
            captions=captions,
            log_probs=chosen.log_probs,
            scores=by_length(chosen.log_probs, captions, self._config),
            origins=chosen.origins,
            attention=loop.attention.stack(),
        )

    def _none(self, n):
        """n hypotheses that do not exist."""
        shape = [self._batch, n, self._config.max_length]
        return _Hypotheses(
            log_probs=tf.fill([self._batch, n], IMPOSSIBLE),
            captions=tf.fill(shape, PAD),
            origins=tf.zeros(shape, tf.int32),
        )


def _concatenated(first, second):
    """Nested tensors [B, n, …] and [B, m, …] as [B, n + m, …]."""
    return tf.nest.map_structure(lambda *both: tf.concat(both, axis=1), first, second)
