import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config
from keras_sat.decoding.captioned import Captioned, explain_captions
from keras_sat.models import build_captioner
from keras_sat.text.ids import START
from keras_sat.text.vocabulary import Vocabulary
from tests.support.rounding import assert_close

SHAPE = (2, 2, 5)
VOCABULARY = Vocabulary(["<pad>", "<start>", "<end>", "<unk>", "a", "dog", "runs"])
FEATURES = {"features": tf.random.stateless_normal([3, *SHAPE], [1, 2])}
CAPTIONED = [
    Captioned(str(i), text, 0.0, None, None) for i, text in enumerate(["a dog runs", "", "runs a"])
]


def soft(gate):
    settings = config.Soft(embedding_size=6, state_size=7, attention_size=4, gate=gate)
    return build_captioner(settings, len(VOCABULARY), {"features": SHAPE}, seed=1)


@pytest.mark.parametrize("gate", ["scalar", "vector"])
def test_the_gate_is_that_of_the_state_before_the_word(gate):
    model = soft(gate)
    found = explain_captions(model, FEATURES, CAPTIONED, VOCABULARY)
    assert [len(facts["gate"]) for facts in found] == [3, 0, 2]
    annotations = model.encode(FEATURES)
    state = model.initial_state(annotations, 1)
    for word, token in enumerate([START, *VOCABULARY.encode(["a dog runs"], 9).to_list()[0][:2]]):
        kernel, bias = model.gate.weights
        expected = tf.reduce_mean(tf.sigmoid(state[0][0] @ kernel + bias))
        assert_close(found[0]["gate"][word], expected, roundings=3 * (6 + 5 + 7 + 4))
        _, _, state = model.step(tf.fill([3, 1], token), state, annotations)
    assert np.ptp(found[0]["gate"]) > 0


def test_models_without_a_gate_explain_nothing():
    assert explain_captions(soft("none"), FEATURES, CAPTIONED, VOCABULARY) == [{}, {}, {}]
    areas = build_captioner(
        config.Areas(embedding_size=6, state_size=7), len(VOCABULARY), {"features": SHAPE}, seed=1
    )
    assert explain_captions(areas, FEATURES, CAPTIONED, VOCABULARY) == [{}, {}, {}]
