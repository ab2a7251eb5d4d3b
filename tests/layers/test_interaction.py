"""The factorised joint softmax against the naive one in float64.

The naive one computes the whole tensor of words × regions.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config, layers
from keras_sat.layers import log_matmul
from keras_sat.models import build_captioner
from keras_sat.text.ids import PAD, START
from tests.support.rounding import assert_close

B, Q, L, D, H, E, V = 3, 4, 5, 6, 7, 8, 11
TERMS = {
    "word-state": (False, False),
    "word-region": (True, False),
    "region-state": (True, True),
    "only region-state": (False, True),
}


def normal(*shape, scale=1.0):
    return scale * tf.random.stateless_normal(shape, [len(shape), shape[-1]])


TABLE = normal(V, E)
REGIONS = normal(B, L, D)
HIDDEN = normal(B, Q, H)
PRESENT = tf.constant([[True] * L, [True] * 3 + [False] * 2, [True] * L])
TOKENS = tf.constant([[4, 2, 10, 3], [5, 5, 6, 7], [8, 9, 2, 4]])
# Roundings: scores have three terms, each a sum of 6 to 8 products, and are as large as 30; an
# error of a score is a factor of its probability. Gradients are sums over 12 queries of 55 such
# probabilities.
SOFTMAX = 30 * (E + H + D) + B * Q * V
SLOPES = normal(B, Q, V), normal(B, Q, L, scale=0.7), normal(B, Q, L, scale=0.3)


def build(terms):
    layer = layers.Interaction(E, D, *TERMS[terms])
    once = layer.prepare(TABLE, REGIONS, PRESENT)
    layer.word_scores(HIDDEN, once)
    layer.region_scores(HIDDEN, once)
    for index, weight in enumerate(layer.trainable_weights):  # biases too
        weight.assign(tf.random.stateless_normal(weight.shape, [index, 1]) * 0.7)
    return layer


def factorised(layer, table, regions, hidden):
    once = layer.prepare(table, regions, PRESENT)
    a = layer.word_scores(hidden, once)
    b = layer.region_scores(hidden, once)
    return (
        layer.words(a, b, once),
        layer.regions(a, b, once),
        layer.regions_of_word(layer.rows(TOKENS, once), b),
    )


def naive(layer, table, regions, hidden):
    """Equation 2, term by term."""
    theta = {
        name: tf.cast(layer_of.kernel, tf.float64)
        for name, layer_of in vars(layer).items()
        if hasattr(layer_of, "kernel")
    }
    scores = tf.einsum("ve,he,bqh->bqv", table, theta["_word_state"], hidden)[..., None]
    scores += tf.einsum("ve,e->v", table, tf.cast(layer._word_state.bias, tf.float64))[:, None]
    scores += tf.zeros([L], tf.float64)
    if layer.word_region:
        scores += tf.einsum("ve,de,bld->bvl", table, theta["_word_region"], regions)[:, None]
    if layer.region_state:
        scores += tf.einsum("bld,hd,bqh->bql", regions, theta["_region_state"], hidden)[:, :, None]
        bias = tf.cast(layer._region_state.bias, tf.float64)
        scores += tf.einsum("bld,d->bl", regions, bias)[:, None, None]
    elif layer.word_region:
        scores += tf.einsum("bld,de->bl", regions, theta["_region_bias"])[:, None, None]
    possible = [word not in (PAD, START) for word in range(V)]
    scores += tf.where(
        tf.constant(possible)[:, None] & PRESENT[:, None, None], 0.0, tf.constant(-1e9, tf.float64)
    )
    joint = tf.reshape(tf.nn.softmax(tf.reshape(scores, [B, Q, V * L])), [B, Q, V, L])
    of_word = tf.nn.softmax(tf.gather(scores, TOKENS, batch_dims=2))
    return (
        tf.math.log(tf.maximum(tf.reduce_sum(joint, 3), 1e-300)),
        tf.reduce_sum(joint, 2),
        of_word,
    )


def values_and_gradients(function, layer, dtype):
    inputs = [tf.cast(each, dtype) for each in (TABLE, REGIONS, HIDDEN)]
    possible = tf.constant([float(word not in (PAD, START)) for word in range(V)], dtype)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        values = function(layer, *inputs)
        slopes = [tf.cast(slope, dtype) for slope in SLOPES]
        log_words = tf.where(possible > 0, values[0], 0)
        loss = tf.add_n(
            [tf.reduce_sum(value * slope) for value, slope in zip((log_words, *values[1:]), slopes)]
        )
    return values, tape.gradient(
        loss, [*inputs, *layer.trainable_weights], unconnected_gradients="zero"
    )


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("path", ["exponential", "log-sum-exp"])
def test_equal_to_the_naive_joint_softmax(terms, path, monkeypatch):
    if path == "log-sum-exp":
        monkeypatch.setattr(log_matmul, "_EXPONENTIAL_RANGE", -1.0)
    layer = build(terms)
    found, found_gradients = values_and_gradients(factorised, layer, tf.float32)
    expected, expected_gradients = values_and_gradients(naive, layer, tf.float64)
    assert_close(np.exp(found[0]), np.exp(expected[0]), roundings=SOFTMAX)
    likely = expected[0].numpy() > -30
    assert_close(found[0].numpy()[likely], expected[0].numpy()[likely], roundings=SOFTMAX)
    for one, other in zip(found[1:], expected[1:]):
        assert_close(one, other, roundings=SOFTMAX)
    for one, other in zip(found_gradients, expected_gradients):
        assert_close(one, other, roundings=SOFTMAX)


def random_scores(scale):
    return tf.constant(np.random.default_rng(3).uniform(-scale, scale, [2, L, V]), tf.float32)


@pytest.mark.parametrize("scale", [1, 31, 45, 200])
@pytest.mark.parametrize("transpose", [False, True])
def test_scores_of_any_size(scale, transpose):
    """Values and gradients are finite and right for scores of up to ±200.

    At ±200 the exponential form alone would underflow.
    """
    scores = random_scores(scale)
    x = tf.constant(
        np.random.default_rng(4).uniform(-scale, scale, [2, Q, V if transpose else L]), tf.float32
    )
    slopes = tf.constant(np.random.default_rng(5).normal(size=[2, Q, L if transpose else V]))

    def run(dtype, function):
        inputs = [tf.cast(each, dtype) for each in (scores, x)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
            loss = tf.reduce_sum(y * tf.cast(slopes, dtype))
        return y, *tape.gradient(loss, inputs)

    def exact(scores, x):
        scores = scores if transpose else tf.linalg.matrix_transpose(scores)
        return tf.reduce_logsumexp(scores[:, None] + x[:, :, None], axis=-1)

    found = run(tf.float32, lambda s, x: log_matmul.log_matmul(x, log_matmul.prepare(s), transpose))
    for one, other in zip(found, run(tf.float64, exact)):
        assert np.all(np.isfinite(one))
        # An error of a sum of two scores is a factor of its exponential.
        assert_close(one, other, roundings=L + V + 4 * scale)
    assert np.all(log_matmul.prepare(scores)["wide"].numpy() == (scale > 32)), (
        "the right path was taken"
    )
    with np.errstate(divide="ignore"):
        exponentials = np.exp((scores - tf.reduce_max(scores)).numpy())
        assert (np.min(exponentials) == 0) == (scale == 200), (
            "the exponential form underflows there"
        )


def test_the_path_of_an_image_does_not_depend_on_its_batch():
    scores = random_scores(1.0)
    x = normal(2, Q, L)
    mixed = tf.stack([scores[0], 200 * scores[1]])
    found = log_matmul.log_matmul(x, log_matmul.prepare(mixed))
    np.testing.assert_array_equal(found[0], log_matmul.log_matmul(x, log_matmul.prepare(scores))[0])
    alone = log_matmul.log_matmul(x[1:], log_matmul.prepare(mixed[1:]))
    assert_close(found[1:], alone, roundings=2 * L)


def test_without_regions_it_is_the_baseline_with_its_word_bias():
    full = build("region-state")
    baseline = build("word-state")
    baseline._word_state.set_weights(full._word_state.get_weights())
    nothing = tf.zeros_like(REGIONS)
    both = (
        factorised(full, TABLE, nothing, HIDDEN)[0],
        factorised(baseline, TABLE, REGIONS, HIDDEN)[0],
    )
    assert_close(*map(np.exp, both), roundings=SOFTMAX)
    bias = tf.linalg.matvec(TABLE, full._word_state.bias)
    scores = tf.einsum("ve,he,bqh->bqv", TABLE, full._word_state.kernel, HIDDEN) + bias
    possible = [word for word in range(V) if word not in (PAD, START)]
    expected = tf.nn.log_softmax(tf.gather(scores, possible, axis=-1))
    found = tf.gather(factorised(full, TABLE, nothing, HIDDEN)[0], possible, axis=-1)
    assert_close(found, expected, roundings=SOFTMAX)


def largest_tensor(function):
    """Elements of the largest tensor in a graph, its loops and branches included."""
    graphs = [function.graph]
    for name in function.graph._functions:
        graphs.append(function.graph._get_function(name).graph)
    largest = 0
    for graph in graphs:
        for operation in graph.get_operations():
            for tensor in operation.outputs:
                if tensor.shape.is_fully_defined():
                    largest = max(largest, tensor.shape.num_elements())
    return largest


def test_the_largest_tensor_is_also_searched_in_loops():
    def body(t, y):
        return t + 1, y + tf.norm(tf.ones([7, 9]))

    written_out = tf.function(lambda: tf.while_loop(lambda t, y: t < 3, body, (0, 0.0)))
    assert largest_tensor(written_out.get_concrete_function()) == 63


@pytest.mark.parametrize("feedback", ["none", "conditional", "marginal"])
def test_no_tensor_of_steps_by_regions_by_words(feedback):
    """There is none in the graph of a training step, gradients, loops and branches included."""
    words = 53
    shape = (3, 5, 4)
    captions = 7
    steps = 11
    model = build_captioner(
        config.Areas(embedding_size=6, state_size=6, feedback=feedback),
        words,
        {"features": shape},
        seed=0,
    )
    model.compile(keras.optimizers.SGD())
    inputs = {
        "features": tf.zeros([1, *shape]),
        "captions": tf.fill([1, captions, steps], 5),
        "row": tf.range(1),
    }
    step = tf.function(model.train_step).get_concrete_function(inputs)
    assert words * 15 <= largest_tensor(step) < words * 15 * min(captions, steps)
