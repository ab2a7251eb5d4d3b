"""REINFORCE against the gradient by enumeration of every sequence of locations.

The model is small enough for that.
"""

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config
from keras_sat.layers.noise import Noise, place
from keras_sat.models import build_captioner
from keras_sat.models.losses import attention_entropy
from keras_sat.text.ids import END, START
from tests.support.rounding import assert_close

L, T, V, IMAGES, DRAWS = 3, 2, 7, 250, 120
FEATURES = tf.random.stateless_normal([1, 1, L, 4], [3, 4])
CAPTION = tf.constant([[[5, END]]])
# Steps forward and back, with sums over all widths; weights are three times as large.
ROUNDINGS = 2 * T * (3 + 4 + 4 + 3 + V) * 3
PURE = config.Hard(
    embedding_size=3,
    state_size=4,
    attention_size=3,
    state_dropout=0.0,
    output_dropout=0.0,
    penalty_weight=0.0,
    reward_weight=1.0,
    reward="caption",
    entropy_weight=0.0,
    expectation=0.0,
)


def build(**changes):
    model = build_captioner(replace(PURE, **changes), V, {"features": (1, L, 4)}, seed=5)
    model.compile(keras.optimizers.SGD())
    for weight in model.trainable_variables:
        weight.assign(3 * weight)  # so that the attended location matters
    return model


def enumerate_locations(model):
    """For each sequence of locations: log p(y|s), log p(s) and Σ_t H[α_t], by a plain loop."""
    annotations = model.encode({"features": FEATURES})
    results = []
    for locations in itertools.product(range(L), repeat=T):
        hidden, cell, _ = model.initial_state(annotations, 1)
        log_words = log_locations = entropy = 0.0
        for location, token, word in zip(locations, [START, 5], [5, END]):
            vector = model.embedding(tf.constant([[token]]))
            attention = model.attend(hidden, annotations["keys"])
            context = model.gate(hidden) * annotations["regions"][:, None, location]
            hidden, cell = model.lstm(model.lstm.project(vector), context, (hidden, cell))
            log_words += model.read_out(vector, hidden, context)[0, 0, word]
            log_locations += tf.math.log(attention[0, 0, location])
            entropy += attention_entropy(attention[:, :, None], tf.constant([[[5]]]))[0, 0]
        results.append((log_words, log_locations, entropy))
    return [tf.stack(column) for column in zip(*results)]


def estimates(model, images=IMAGES):
    """Independent estimates of the expected reward's gradient, [DRAWS, weights].

    The sign is changed, because the gradients computed are those of the loss.
    """
    inputs = {"features": tf.repeat(FEATURES, images, 0), "captions": tf.repeat(CAPTION, images, 0)}

    @tf.function
    def gradient(step):
        with tf.GradientTape() as tape:
            terms, _ = model.loss_terms(inputs, float(images), Noise(1, step, tf.range(images)))
            loss = tf.add_n(list(terms.values()))
        return flat(tape, loss, model)

    return -np.array([gradient(tf.constant(step)).numpy() for step in range(DRAWS)])


def flat(tape, value, model):
    gradients = tape.gradient(value, model.trainable_variables, unconnected_gradients="zero")
    return tf.concat(
        [tf.reshape(tf.convert_to_tensor(gradient), [-1]) for gradient in gradients], 0
    )


def assert_means(found, expected):
    error = found.std(axis=0) / np.sqrt(DRAWS)
    assert np.all(np.abs(found.mean(axis=0) - expected) < 4.5 * error + 1e-6)
    # A wrong sign or factor would be noticed: clear gradients are far outside that margin.
    assert np.sum(np.abs(expected) > 9 * error) > 20


def exact(model, entropy_weight=0.0):
    with tf.GradientTape() as tape:
        log_words, log_locations, entropy = enumerate_locations(model)
        shares = tf.exp(log_locations)
        assert_close(tf.reduce_sum(shares), 1, roundings=ROUNDINGS)
        value = tf.reduce_sum(shares * log_words) + entropy_weight * tf.reduce_sum(
            tf.stop_gradient(shares) * entropy
        )
    return flat(tape, value, model).numpy(), float(tf.reduce_sum(shares * log_words))


def test_the_estimators_mean_is_the_gradient_by_enumeration():
    model = build()
    assert_means(estimates(model), exact(model)[0])


def test_several_samples_are_as_many_captions():
    model = build(samples=3)
    assert_means(estimates(model, images=80), exact(model)[0])


def test_the_baseline_leaves_the_mean_and_lowers_the_variance():
    model = build()
    without = estimates(model)
    gradient, mean_reward = exact(model)
    model.baseline.assign(mean_reward)
    with_baseline = estimates(model)
    assert_means(with_baseline, gradient)
    variances = [found.var(axis=0).sum() for found in (without, with_baseline)]
    print(
        f"\nvariance of the gradient: {variances[0]:.5f} without a baseline, "
        f"{variances[1]:.5f} with it"
    )
    assert variances[1] < 0.5 * variances[0]


def test_the_entropy_term_adds_its_own_gradient():
    model = build(entropy_weight=0.5)
    assert_means(estimates(model), exact(model, entropy_weight=0.5)[0])


def test_the_expected_context_is_soft_attention():
    hard = build(expectation=1.0, reward_weight=7.0)
    names = [name for name in config.Soft.__dataclass_fields__ if name != "name"]
    settings = config.Soft(**{name: getattr(PURE, name) for name in names})
    soft = build_captioner(settings, V, {"features": (1, L, 4)}, seed=5)
    soft.compile(keras.optimizers.SGD())
    for mine, other in zip(soft.trainable_variables, hard.trainable_variables):
        mine.assign(other)
    inputs = {"features": FEATURES, "captions": CAPTION}
    gradients = []
    for model in (soft, hard):
        with tf.GradientTape() as tape:
            loss = tf.add_n(
                list(model.loss_terms(inputs, 1.0, Noise(0, 0, tf.range(1)))[0].values())
            )
        gradients.append(flat(tape, loss, model))
    assert_close(*gradients, roundings=ROUNDINGS)


def test_released_attention_learns_from_reward_and_entropy_alone():
    model = build(
        attention_gradient="reinforce", reward_weight=0.0, penalty_weight=1.0, expectation=0.5
    )
    inputs = {"features": tf.repeat(FEATURES, 8, 0), "captions": tf.repeat(CAPTION, 8, 0)}
    with tf.GradientTape(persistent=True) as tape:
        terms, _ = model.loss_terms(inputs, 8.0, Noise(0, 0, tf.range(8)))
        loss = tf.add_n(list(terms.values()))
    for weight in model.attend.trainable_variables:
        assert not np.any(tape.gradient(loss, weight)), weight.name
    assert float(terms["penalty"]) > 0
    assert np.any(tape.gradient(loss, model.lstm.trainable_variables[0]))


def test_steps_behind_all_captions_change_nothing():
    """A replica's captions may all be shorter than the longest one of the global batch."""
    model = build(expectation=1.0, samples=2, entropy_weight=0.5, penalty_weight=1.0)
    gradients = []
    for captions in (CAPTION, tf.pad(CAPTION, [[0, 0], [0, 0], [0, 3]])):
        with tf.GradientTape() as tape:
            terms, _ = model.loss_terms(
                {"features": FEATURES, "captions": captions}, 1.0, Noise(0, 0, tf.range(1))
            )
            loss = tf.add_n(list(terms.values()))
        gradients.append(flat(tape, loss, model))
    assert_close(*gradients, roundings=ROUNDINGS)


@pytest.mark.parametrize("per, kinds", [("image", {"mixed"}), ("batch", {"all", "none"})])
def test_the_replacement_is_drawn_for_each_image_or_once_for_the_batch(per, kinds):
    model = build(expectation=0.5, expectation_per=per)
    seen = set()
    for step in range(20):
        expected = model._training_draws(
            tf.repeat(CAPTION, 64, 0), Noise(0, tf.constant(step), tf.range(64))
        )["expected"].numpy()
        assert np.all(expected == expected[:, :, :1]), "one decision for all steps"
        seen.add({0.0: "none", 1.0: "all"}.get(expected.mean(), "mixed"))
    assert seen == kinds


def test_the_baseline_is_a_moving_average_of_the_reward():
    model = build(reward="mean", expectation=1.0)
    inputs = {"features": FEATURES, "captions": CAPTION, "row": tf.range(1)}
    # With the expected context, evaluation computes what training does before its update.
    reward = -float(model.test_step(inputs)["word_loss"])
    model.train_step(inputs)
    assert_close(model.baseline, 0.1 * reward, roundings=ROUNDINGS)


def test_sampled_locations_follow_the_attention():
    attention = tf.constant([0.1, 0.0, 0.6, 0.3])
    draws = tf.random.stateless_uniform([20_000], [0, 1])
    counts = np.bincount(place(tf.repeat(attention[None], 20_000, 0), draws), minlength=4)
    np.testing.assert_allclose(counts / 20_000, attention, atol=0.015)
    assert counts[1] == 0
    assert int(place(attention[None] * 0.999999, tf.constant([0.9999999]))[0]) == 3, (
        "rounding stays inside"
    )
    assert int(place(tf.zeros([1, 4]), tf.constant([0.5]))[0]) == 3, (
        "so does attention that was left out"
    )


def test_a_sampled_caption_can_be_repeated_and_depends_on_the_image_alone():
    model = build(decode="sample")
    features = tf.random.stateless_normal([6, 1, L, 4], [8, 8])
    captions = tf.tile(CAPTION, [6, 1, 1])
    together = model({"features": features, "captions": captions})[0]
    alone = tf.concat(
        [model({"features": features[i : i + 1], "captions": CAPTION})[0] for i in range(6)], 0
    )
    assert_close(np.exp(together), np.exp(alone), roundings=ROUNDINGS)
