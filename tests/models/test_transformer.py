"""The Transformer captioner: what its cache and its projections promise."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config
from keras_sat.layers import DecoderBlock
from keras_sat.models import build_captioner
from keras_sat.text.ids import START
from keras_sat.utils.errors import UserError
from tests.support.rounding import assert_close

V, SHAPE = 13, (2, 3, 5)
SMALL = config.Transformer(
    width=8, heads=2, encoder_layers=2, decoder_layers=3, hidden_size=12, positions=6
)
ROUNDINGS = 20 * (8 + 12 + 6 + V)
FEATURES = {"features": tf.random.stateless_normal([2, *SHAPE], [1, 2])}
CAPTIONS = tf.constant([[[5, 6, 7, 2]], [[8, 9, 4, 2]]])


def build(**settings):
    return build_captioner(replace(SMALL, **settings), V, {"features": SHAPE}, seed=3)


def test_a_later_word_changes_no_earlier_distribution():
    model = build()
    before, _ = model(FEATURES | {"captions": CAPTIONS})
    changed = tf.concat([CAPTIONS[..., :2], CAPTIONS[..., 2:] + 1], axis=-1)
    after, _ = model(FEATURES | {"captions": changed})
    np.testing.assert_array_equal(before[:, :, :3], after[:, :, :3])
    assert np.any(before[:, :, 3] != after[:, :, 3])


def test_an_image_is_projected_once_whatever_hypotheses_and_steps(monkeypatch):
    calls = []
    project = DecoderBlock.image_keys_and_values

    def counted(self, levels):
        calls.append(self.name)
        return project(self, levels)

    model = build()
    monkeypatch.setattr(DecoderBlock, "image_keys_and_values", counted)
    annotations = model.encode(FEATURES)
    state = model.initial_state(annotations, 4)
    for _ in range(5):
        _, _, state = model.step(tf.fill([2, 4], START), state, annotations)
    model.unroll(annotations, CAPTIONS)
    assert len(calls) == SMALL.decoder_layers
    assert annotations["keys_0"].shape == [2, 1, 2, 6, 4]  # [B, levels, heads, L, width / heads]


def test_a_reordered_cache_equals_hypotheses_that_are_recomputed():
    model = build()
    annotations = model.encode(FEATURES)
    first = tf.constant([[5, 6, 7], [8, 9, 10]])
    order = tf.constant([[2, 0, 0], [1, 1, 2]])
    second = tf.constant([[3, 4, 5], [6, 7, 8]])

    def distribution(words, state):
        return model.step(words, state, annotations)

    _, _, state = distribution(first, model.initial_state(annotations, 3))
    state = tf.nest.map_structure(lambda each: tf.gather(each, order, batch_dims=1), state)
    reordered, _, _ = distribution(second, state)
    words = tf.gather(first, order, batch_dims=1)
    _, _, state = distribution(words, model.initial_state(annotations, 3))
    recomputed, _, _ = distribution(second, state)
    assert_close(np.exp(reordered), np.exp(recomputed), roundings=ROUNDINGS)


def test_parameters_are_those_of_the_formula():
    """Counted for pre-norm, untied, without geometry and memory."""
    model = build()
    width, hidden = SMALL.width, SMALL.hidden_size  # fmt: skip
    attention = 4 * width**2 + 3 * width  # the keys have no bias
    transform = 2 * width * hidden + hidden + width
    norm = 2 * width
    encoder = SMALL.encoder_layers * (attention + transform + 2 * norm)
    decoder = SMALL.decoder_layers * (2 * attention + transform + 3 * norm)
    project = SHAPE[-1] * width + width
    words = V * width
    output = V * width + V
    expected = project + encoder + decoder + 2 * norm + words + output
    assert sum(np.prod(weight.shape) for weight in model.trainable_weights) == expected
    assert build(tied=True).count_params() == model.count_params() - words


def test_the_attention_shown_is_the_mean_over_heads():
    model = build(attention_layer=2)
    inputs = FEATURES | {"captions": CAPTIONS}
    heads = model.attention_of_heads(inputs)
    assert heads.shape == [2, 1, 4, 2, 6]
    _, attention = model(inputs)
    assert_close(tf.reduce_mean(heads, axis=3), attention, roundings=ROUNDINGS)


@pytest.mark.parametrize(
    "setting, message",
    [
        ("model.heads=3", "model.width: 512 cannot be shared out among model.heads 3"),
        ("model.attention_layer=4", "model.attention_layer: 4 of model.decoder_layers 3"),
        ("model.positions=20", "decoding.max_length: 25 is more than the model.positions 20"),
    ],
)
def test_contradictions_are_refused(setting, message):
    with pytest.raises(UserError, match=message):
        config.load(None, ["model.name=transformer", setting])


def test_a_mesh_needs_several_encoder_layers():
    overrides = ["model.name=transformer", "model.meshed=true", "model.encoder_layers=1"]
    with pytest.raises(UserError, match=r"model\.meshed: connects several encoder layers"):
        config.load(None, overrides)
