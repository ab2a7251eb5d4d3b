import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config
from keras_sat.decoding import caption_function, greedy
from keras_sat.models import build_captioner
from keras_sat.text import END, PAD, START

SHAPE, V = (2, 2, 5), 9
FEATURES = tf.random.stateless_normal([16, *SHAPE], [1, 2]) * 3
# Weights far from zero, so that captions differ in words and length.
MODEL = build_captioner(config.Soft(embedding_size=6, state_size=7, attention_size=4), V, {"features": SHAPE}, seed=1)
MODEL.set_weights([3 * weight for weight in MODEL.get_weights()])


def by_hand(model, features, max_length):
    """One image, one step at a time."""
    annotations = model.encode({"features": features[None]})
    state, token, words, score, weights = model.initial_state(annotations, 1), START, [], 0.0, []
    while len(words) < max_length and token != END:
        log_probs, attention, state = model.step(tf.constant([[token]]), state, annotations)
        token = int(tf.argmax(log_probs[0, 0]))
        words.append(token)
        score += float(log_probs[0, 0, token])
        weights.append(attention[0, 0].numpy())
    return words, score, weights


@pytest.mark.parametrize("max_length", [3, 12])
def test_greedy_is_the_loop_by_hand(max_length):
    found = caption_function(MODEL, max_length)({"features": FEATURES})
    assert found["captions"].shape == [16, 1, max_length]
    lengths = set()
    for b in range(16):
        words, score, weights = by_hand(MODEL, FEATURES[b], max_length)
        lengths.add(len(words))
        assert found["captions"][b, 0].numpy().tolist() == words + [PAD] * (max_length - len(words))
        assert float(found["scores"][b, 0]) == pytest.approx(score, abs=1e-4)
        np.testing.assert_allclose(found["attention"][b, 0, : len(words)], weights, atol=1e-5)
        assert not np.any(found["attention"][b, 0, len(words) :])
    assert len(lengths) > 1, "the images should differ in difficulty"


def test_the_score_is_the_teacher_forced_log_probability():
    found = greedy(MODEL, MODEL.encode({"features": FEATURES}), 12)
    log_probs, attention = MODEL({"features": FEATURES, "captions": found["captions"]})
    mask = found["captions"] != PAD
    chosen = tf.where(mask, tf.gather(log_probs, found["captions"], batch_dims=3), 0.0)
    np.testing.assert_allclose(tf.reduce_sum(chosen, -1), found["scores"], atol=1e-4)
    np.testing.assert_allclose(tf.where(mask[..., None], attention, 0.0), found["attention"], atol=1e-5)


def test_nothing_finished_within_the_length_is_still_a_caption():
    never_ends = build_captioner(dataclasses.replace(MODEL.config, output="linear"), V, {"features": SHAPE}, seed=1)
    bias = never_ends.read_out._logits.bias
    bias.assign(tf.tensor_scatter_nd_add(bias, [[END]], [-1e6]))
    captions = greedy(never_ends, never_ends.encode({"features": FEATURES}), 5)["captions"].numpy()
    assert np.all(captions > END)
