import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from keras_sat.config import Decoding, Soft
from keras_sat.decoding.agreement import agreement
from keras_sat.decoding.search import caption_function, generate
from keras_sat.models import build_captioner
from keras_sat.models.ensemble import Ensemble
from keras_sat.text.ids import END, PAD, START, UNKNOWN
from tests.support.rounding import assert_close

SHAPE, V = (2, 2, 5), 9
# Roundings: up to twelve steps, each with sums over embedding, state, channels (twice), attention
# and words.
SEARCH = 12 * (6 + 7 + 5 + 5 + 4 + V)
FEATURES = tf.random.stateless_normal([16, *SHAPE], [1, 2]) * 3


def build(vocabulary_size=V, seed=1, factor=3):
    """A captioner with weights far from zero, so that captions differ in words and length."""
    config = Soft(embedding_size=6, state_size=7, attention_size=4)
    model = build_captioner(config, vocabulary_size, {"features": SHAPE}, seed=seed)
    model.set_weights([factor * weight for weight in model.get_weights()])
    return model


MODEL = build()
ENSEMBLE = Ensemble([MODEL, build(seed=2), build(seed=3)])
GREEDY = Decoding(beam=1, unknown=True)
DECODINGS = {
    "greedy": GREEDY,
    "beam": Decoding(beam=4, max_length=9),
    "beam, length penalty": Decoding(beam=4, max_length=9, length_penalty=0.7),
    "beam, restricted": Decoding(beam=3, max_length=9, min_length=4, no_repeat_ngram=2),
    "samples": Decoding(method="sample", beam=4, max_length=9, temperature=1.3),
    "consensus": Decoding(method="consensus", beam=4, max_length=9, length_penalty=0.7, samples=6),
}


compiled = functools.lru_cache(caption_function)


def caption(config, model=MODEL, features=FEATURES, best=1):
    found = compiled(model, config, best)({"features": features})
    return {name: value.numpy() for name, value in found.items()}


def log_p(model, features, captions):
    """log p of captions [B, n, T], END included, teacher forced."""
    log_probs, _ = model({"features": features, "captions": captions})
    chosen = tf.gather(log_probs, captions, batch_dims=3)
    return tf.reduce_sum(tf.where(captions != PAD, chosen, 0.0), -1).numpy()


def by_length(found, config):
    """log p / length^α of captions that `caption` found."""
    return found["log_probs"] / np.sum(found["captions"] != PAD, axis=-1) ** config.length_penalty


def strip(ids):
    return tuple(int(i) for i in ids if i != PAD)


def by_hand(model, features, max_length):
    """The likeliest word at every step, for one image."""
    annotations = model.encode({"features": features[None]})
    state = model.initial_state(annotations, 1)
    token = START
    words = []
    score = 0.0
    weights = []
    while len(words) < max_length and token != END:
        log_probs, attention, state = model.step(tf.constant([[token]]), state, annotations)
        log_probs = log_probs[0, 0].numpy()
        if not words:
            log_probs[END] = -np.inf
        token = int(np.argmax(log_probs))
        words.append(token)
        score += float(log_probs[token])
        weights.append(attention[0, 0].numpy())
    return words, score, weights


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("max_length", [3, 12])
def test_a_beam_of_one_is_greedy(max_length, penalty):
    found = caption(replace(GREEDY, max_length=max_length, length_penalty=penalty))
    assert found["captions"].shape == (16, 1, max_length)
    lengths = set()
    for b in range(16):
        words, score, weights = by_hand(MODEL, FEATURES[b], max_length)
        lengths.add(len(words))
        assert found["captions"][b, 0].tolist() == words + [PAD] * (max_length - len(words))
        assert_close(found["log_probs"][b, 0], score, roundings=SEARCH)
        assert_close(found["attention"][b, : len(words)], weights, roundings=SEARCH)
        assert not np.any(found["attention"][b, len(words) :])
    assert len(lengths) > 1, "the images should differ in difficulty"


@pytest.mark.parametrize("penalty", [0.0, 0.8])
def test_a_beam_as_wide_as_the_tree_is_exhaustive_search(penalty):
    model = build(6, factor=2)
    words = (UNKNOWN, 4, 5)
    length = 4
    trees = [[*body, END] for n in range(1, length) for body in itertools.product(words, repeat=n)]
    captions = np.array([tree + [PAD] * (length - len(tree)) for tree in trees])
    config = Decoding(
        beam=4 * 3 ** (length - 1), max_length=length, length_penalty=penalty, unknown=True
    )
    found = caption(config, model, best=len(trees))
    every = log_p(model, FEATURES, tf.constant(np.tile(captions, [16, 1, 1]), tf.int32))
    scores = every / np.sum(captions != PAD, axis=1) ** penalty
    for b in range(16):
        order = np.argsort(-scores[b], kind="stable")
        assert_close(found["scores"][b], scores[b][order], roundings=SEARCH)
        assert_close(found["log_probs"][b], every[b][order], roundings=SEARCH)
        assert strip(found["captions"][b, 0]) == tuple(trees[order[0]])
        assert {strip(c) for c in found["captions"][b]} == set(map(tuple, trees)), "each once"


def test_model_gardens_beam_search_finds_the_same_best_caption():
    """In Model Garden an END among the 2K best extensions finishes a caption too.

    With this wide a beam the difference does not matter.
    """
    from official.nlp.modeling.ops import beam_search

    config = Decoding(beam=120, max_length=8, min_length=0, unknown=True)
    found = caption(config)
    annotations = MODEL.encode({"features": FEATURES})

    def logits_of(ids, t, cache):
        state = tf.nest.map_structure(
            lambda s: tf.reshape(s, [16, -1, s.shape[-1]]), cache["state"]
        )
        words = tf.reshape(ids[:, t], [16, -1])
        log_probs, _, state = MODEL.step(words, state, annotations)
        cache["state"] = tf.nest.map_structure(lambda s: tf.reshape(s, [-1, s.shape[-1]]), state)
        return tf.reshape(log_probs, [-1, V]), cache

    cache = {"state": tf.nest.map_structure(lambda s: s[:, 0], MODEL.initial_state(annotations, 1))}
    ids, scores = beam_search.sequence_beam_search(
        logits_of,
        tf.fill([16], START),
        cache,
        V,
        config.beam,
        alpha=0.0,
        max_decode_length=config.max_length,
        eos_id=END,
    )
    for b in range(16):
        assert strip(found["captions"][b, 0]) == strip(ids[b, 0, 1:].numpy())
        assert_close(found["scores"][b, 0], scores[b, 0], roundings=SEARCH)


@pytest.mark.parametrize("model", [MODEL, ENSEMBLE], ids=["one", "ensemble"])
@pytest.mark.parametrize("name", DECODINGS)
def test_scores_are_teacher_forced_log_probabilities(name, model):
    config = DECODINGS[name]
    found = caption(config, model, best=config.beam)
    assert_close(
        log_p(model, FEATURES, tf.constant(found["captions"])), found["log_probs"], roundings=SEARCH
    )
    if config.method != "consensus":
        assert_close(by_length(found, config), found["scores"], roundings=8)
    finished = np.any(found["captions"] == END, axis=-1)
    for scores, done in zip(found["scores"], finished):
        assert np.all(np.diff(scores[done]) <= 0), "best first"
        if config.method != "sample":
            assert np.all(done == sorted(done, reverse=True)), "finished ones first"


@pytest.mark.parametrize("model", [MODEL, ENSEMBLE], ids=["one", "ensemble"])
@pytest.mark.parametrize("name", DECODINGS)
def test_attention_is_that_of_reading_the_caption(name, model):
    """This holds even where a hypothesis changed its beam index from step to step."""
    found = caption(DECODINGS[name], model, best=2 if DECODINGS[name].beam > 1 else 1)
    captions = found["captions"][:, 0]
    _, attention = model({"features": FEATURES, "captions": tf.constant(captions[:, None])})
    expected = np.where(captions[..., None] != PAD, attention[:, 0], 0)
    assert_close(found["attention"], expected, roundings=SEARCH)


@pytest.mark.parametrize("model", [MODEL, ENSEMBLE], ids=["one", "ensemble"])
def test_consensus_is_the_agreement_of_beams_with_samples(model):
    config = replace(DECODINGS["consensus"], likelihood_weight=0.3, temperature=0.8)
    found = caption(config, model, best=4)
    beams = caption(replace(config, method="beam"), model, best=4)
    samples = caption(replace(config, method="sample", beam=6), model, best=6)
    expected = agreement(beams["captions"], samples["captions"]).numpy().mean(-1) + 0.3 * by_length(
        beams, config
    )
    order = np.lexsort((-expected, ~np.any(beams["captions"] == END, axis=-1)))
    # Roundings: four lengths of n-grams, six samples.
    assert_close(found["scores"], np.take_along_axis(expected, order, 1), roundings=4 * 6)
    np.testing.assert_array_equal(
        found["captions"], np.take_along_axis(beams["captions"], order[..., None], 1)
    )
    assert (order[:, 0] != 0).any(), (
        "some image's likeliest caption should not be the most consensual"
    )
    likeliest = caption(replace(config, likelihood_weight=1e4), model, best=4)
    np.testing.assert_array_equal(likeliest["captions"][:, 0], beams["captions"][:, 0])


@pytest.mark.parametrize("name", DECODINGS)
def test_a_caption_does_not_depend_on_the_batch(name):
    config = DECODINGS[name]
    together = caption(config, best=config.beam)
    for b in range(16):
        alone = caption(config, features=FEATURES[b : b + 1], best=config.beam)
        np.testing.assert_array_equal(alone["captions"][0], together["captions"][b])
        assert_close(alone["scores"][0], together["scores"][b], roundings=SEARCH)
        assert_close(alone["attention"][0], together["attention"][b], roundings=SEARCH)


@pytest.mark.parametrize("method", ["beam", "sample"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_restrictions_hold_for_every_output(n, method):
    config = Decoding(method=method, beam=4, max_length=12, min_length=4, no_repeat_ngram=n)
    free = replace(config, no_repeat_ngram=0, min_length=1)

    def repeats(ids):
        words = [i for i in strip(ids) if i != END]
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        return len(grams) - len(set(grams))

    model = build(40)
    found = caption(config, model, best=4)["captions"].reshape(-1, 12)
    assert not any(map(repeats, found))
    assert all(len(strip(ids)) >= 5 for ids in found), "four words and END"
    assert not np.any(np.isin(found, [START, UNKNOWN]))
    assert any(map(repeats, caption(free, model, best=4)["captions"].reshape(-1, 12))), (
        "it would have repeated itself"
    )


def test_where_every_word_is_forbidden_the_caption_ends():
    model = build(6)  # two words beside the special ones
    found = caption(Decoding(beam=2, max_length=9, min_length=8, no_repeat_ngram=1), model, best=2)
    assert all(sorted(strip(ids)) == [END, 4, 5] for ids in found["captions"].reshape(-1, 9))


def test_nothing_finished_within_the_length_is_still_a_caption():
    never_ends = build_captioner(
        replace(MODEL.config, output="linear"), V, {"features": SHAPE}, seed=1
    )
    bias = never_ends.read_out._logits.bias
    bias.assign(tf.tensor_scatter_nd_add(bias, [[END]], [-1e6]))
    for config in DECODINGS.values():
        found = caption(replace(config, max_length=5), never_ends, best=config.beam)
        assert np.all(found["captions"] > END) or config.no_repeat_ngram
        assert np.all(found["captions"][:, 0] > END) and np.all(np.isfinite(found["scores"][:, 0]))


def test_fewer_captions_than_asked_for_leave_empty_ones():
    found = caption(Decoding(beam=8, max_length=2), build(6), best=8)
    # Two words w allow [w, END] and [w, w'].
    expected = {(4, END), (5, END), (4, 4), (4, 5), (5, 4), (5, 5), ()}
    assert {strip(ids) for ids in found["captions"][0]} == expected
    assert np.all(np.isinf(found["scores"]) == (found["captions"][..., 0] == PAD))


def test_samples_follow_the_distribution():
    """Over many nearly equal images.

    The seed depends on an image's content, so each image has its own draws.
    """
    features = tf.tile(FEATURES[:1], [4000, 1, 1, 1]) + 0.2 * tf.random.stateless_normal(
        [4000, 1, 1, 5], [3, 4]
    )
    annotations = MODEL.encode({"features": features})
    log_probs, _, _ = MODEL.step(
        tf.fill([4000, 1], START), MODEL.initial_state(annotations, 1), annotations
    )
    for settings in ({}, {"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.6}):
        config = Decoding(method="sample", beam=1, max_length=1, unknown=True, **settings)
        drawn = generate(MODEL, annotations, config)["captions"][:, 0, 0].numpy()
        probs = np.exp(log_probs[:, 0].numpy().astype(np.float64) / config.temperature)
        probs[:, [PAD, START, END]] = 0
        probs /= probs.sum(-1, keepdims=True)
        if config.top_k:
            probs[probs < np.sort(probs, axis=-1)[:, -config.top_k][:, None]] = 0
            probs /= probs.sum(-1, keepdims=True)
        ranked = np.sort(probs, axis=-1)[:, ::-1]
        last = np.argmax(np.cumsum(ranked, axis=-1) >= config.top_p - 1e-9, axis=-1)
        probs[probs < ranked[np.arange(4000), last][:, None]] = 0
        probs /= probs.sum(-1, keepdims=True)
        expected = probs.mean(0)
        found = np.bincount(drawn, minlength=V) / 4000
        assert np.all(found[expected == 0] == 0)
        np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(0.25 / 4000))


def test_another_seed_draws_other_samples():
    one, same, other = (
        caption(replace(DECODINGS["samples"], seed=seed))["captions"] for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_an_ensemble_averages_probabilities_at_each_step():
    captions = tf.constant(caption(DECODINGS["beam"], ENSEMBLE)["captions"])
    inputs = {"features": FEATURES, "captions": captions}
    mean = np.mean([np.exp(member(inputs)[0]) for member in ENSEMBLE.members], axis=0)
    assert_close(np.exp(ENSEMBLE(inputs)[0]), mean, roundings=4 * V)
    alone = Ensemble([MODEL])
    np.testing.assert_array_equal(
        caption(DECODINGS["beam"], alone)["captions"], caption(DECODINGS["beam"])["captions"]
    )


class Undecided:
    """A captioner to which all words are equally likely."""

    def initial_state(self, annotations, n):
        return tf.zeros([1, n, 1])

    def step(self, tokens, state, annotations):
        log_probs = tf.fill([*tokens.shape, V], -np.float32(np.log(V)))
        return log_probs, tf.ones([*tokens.shape, 1]), state


def test_of_equal_hypotheses_the_lower_beam_position_and_word_come_first():
    config = Decoding(beam=2, max_length=2, min_length=1, unknown=True)
    found = generate(Undecided(), {"boxes": tf.zeros([1, 1, 4])}, config, best=2)
    # Both survive the first step with the words 3 and 4. All extensions of the first come first.
    np.testing.assert_array_equal(found["captions"][0], [[3, END], [3, 3]])
