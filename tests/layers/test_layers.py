"""Properties that hold for every layer, and the formula of each."""

import importlib
import inspect
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sat import layers
from keras_sat.layers.noise import Noise
from keras_sat.text.ids import PAD, START
from tests.support.rounding import EPSILON, assert_close

B, N, T, L, D, H, E, V = 2, 3, 4, 5, 6, 7, 8, 11


def normal(*shape):
    return tf.random.stateless_normal(shape, [len(shape), shape[-1]])


def read_joint(layer):
    table, regions, hidden = (
        tf.cast(each, layer.compute_dtype) for each in (normal(V, E), normal(B, L, D), HIDDEN)
    )
    once = layer.prepare(table, regions, tf.fill([B, L], True))
    a = layer.word_scores(hidden, once)
    b = layer.region_scores(hidden, once)
    return tf.concat([tf.exp(layer.words(a, b, once)), layer.regions(a, b, once)], axis=-1)


MAP = normal(B, 4, 3, D)
HIDDEN = normal(B, N, H)
WORDS = normal(B, N, E)
CONTEXT = normal(B, N, D)
BOXES = tf.constant([[[0, 0, 0.5, 0.4], [0.5, 0, 1, 1], [0.1, 0.2, 0.9, 0.7]] * 2] * B)[:, :L]
EVERY = {
    "embedding": (layers.WordEmbedding(V, E), lambda layer: layer(tf.constant([[4, START, 5]]))),
    "attention": (
        layers.AdditiveAttention(9, depth=2, activation="relu"),
        lambda layer: layer(HIDDEN, layer.keys(normal(B, L, D))),
    ),
    "uniform": (
        layers.UniformAttention(),
        lambda layer: layer(HIDDEN, layer.keys(normal(B, L, D))),
    ),
    "lstm": (
        layers.LSTM(H, D, kernel_initializer=layers.PAPER_GATES),
        lambda layer: layer(
            layer.project(WORDS), CONTEXT, [tf.cast(HIDDEN, layer.compute_dtype)] * 2
        )[0],
    ),
    "gru": (
        layers.GRU(H),
        lambda layer: layer(layer.project(WORDS), CONTEXT, tf.cast(HIDDEN, layer.compute_dtype)),
    ),
    "interaction": (layers.Interaction(E, D), read_joint),
    "interaction, word-region": (layers.Interaction(E, D, region_state=False), read_joint),
    "grid": (layers.Grid(test_stride=2), lambda layer: layer({"features": MAP})[0]),
    "proposals": (
        layers.Proposals(),
        lambda layer: layer({"features": MAP, "boxes": tf.constant([[[0, 0, 0.6, 0.4]]] * B)})[0],
    ),
    "transformer": (
        layers.SpatialTransformer(3, activation="relu"),
        lambda layer: layer({"features": MAP})[0],
    ),
    "attention of heads": (
        layers.MultiHeadAttention(8, 2, memory_vectors=3),
        lambda layer: layer(HIDDEN, *layer.keys_and_values(normal(B, L, D)))[0],
    ),
    "geometry": (layers.BoxGeometry(2), lambda layer: layer(BOXES)),
    "feed forward": (layers.FeedForward(E, 9), lambda layer: layer(HIDDEN)),
    "residual, norm before": (layers.Residual("pre"), lambda layer: layer(HIDDEN, tf.tanh)),
    "residual, norm after": (layers.Residual("post"), lambda layer: layer(HIDDEN, tf.tanh)),
    "encoder block": (
        layers.EncoderBlock(E, 2, 9, geometry=True, memory_vectors=2),
        lambda layer: layer(normal(B, L, E), BOXES),
    ),
    "decoder block": (
        layers.DecoderBlock(E, 2, 9, levels=2),
        lambda layer: layer(
            normal(B, N, T, E), layer.image_keys_and_values([normal(B, L, E), normal(B, L, E)])
        )[0],
    ),
    "patches": (
        layers.PatchTokens(E, 2, registers=2),
        lambda layer: layer(normal(B, 4, 6, 3)),
    ),
    "vision block": (
        layers.VisionBlock(E, 2, 9, layer_scale=True),
        lambda layer: layer(normal(B, L, E)),
    ),
    "patch map": (layers.PatchMap(2, 2, first=1), lambda layer: layer(normal(B, L, E))),
    "positions": (layers.WordPositions(9, E, "learned"), lambda layer: layer(tf.range(T))),
    "tied output": (layers.TiedOutput(V), lambda layer: layer(HIDDEN, normal(V, H))),
    "linear output": (layers.LinearOutput(V), lambda layer: layer(WORDS, HIDDEN, CONTEXT)),
    "deep output": (
        layers.DeepOutput(V, 0.3, state_dropout=0.1),
        lambda layer: layer(WORDS, HIDDEN, CONTEXT),
    ),
}


@pytest.mark.parametrize("name", EVERY)
def test_rebuilt_from_its_configuration(name):
    layer, call = EVERY[name]
    expected = call(layer)
    again = type(layer).from_config(layer.get_config())
    call(again)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(call(again), expected)
    assert again.get_config() == layer.get_config()


# Every argument of every layer, none at its default.
NOT_DEFAULT = {
    layers.WordEmbedding: {"vocabulary_size": V, "size": E, "embeddings_initializer": "ones"},
    layers.AdditiveAttention: {
        "units": 9,
        "depth": 2,
        "activation": "relu",
        "kernel_initializer": layers.PAPER,
    },
    layers.UniformAttention: {},
    layers.LSTM: {
        "units": H,
        "context_size": D,
        "unit_forget_bias": False,
        "kernel_initializer": layers.PAPER_GATES,
        "recurrent_initializer": "ones",
    },
    layers.GRU: {"units": H},
    layers.Interaction: {
        "embedding_size": E,
        "region_size": D,
        "word_region": False,
        "region_state": False,
    },
    layers.Grid: {"train_stride": 3, "test_stride": 2},
    layers.Proposals: {"train_boxes": 3, "test_boxes": 2},
    layers.SpatialTransformer: {
        "train_stride": 3,
        "test_stride": 2,
        "localisation_size": 3,
        "zoom": 1.5,
        "activation": "relu",
    },
    layers.MultiHeadAttention: {"size": 8, "heads": 2, "memory_vectors": 3, "dropout": 0.1},
    layers.BoxGeometry: {"heads": 2},
    layers.FeedForward: {"size": E, "hidden_size": 9, "dropout": 0.1},
    layers.Residual: {"norm": "post", "dropout": 0.1},
    layers.EncoderBlock: {
        "size": E,
        "heads": 2,
        "hidden_size": 9,
        "norm": "post",
        "geometry": True,
        "memory_vectors": 3,
        "dropout": 0.1,
    },
    layers.DecoderBlock: {
        "size": E,
        "heads": 2,
        "hidden_size": 9,
        "norm": "post",
        "levels": 2,
        "dropout": 0.1,
    },
    layers.PatchTokens: {
        "size": E,
        "patch": 2,
        "class_tokens": 2,
        "registers": 2,
        "use_bias": False,
    },
    layers.VisionBlock: {
        "size": E,
        "heads": 2,
        "hidden_size": 9,
        "activation": "relu",
        "epsilon": 1e-3,
        "layer_scale": True,
    },
    layers.PatchMap: {"height": 2, "width": 2, "first": 1},
    layers.WordPositions: {"count": 9, "size": E, "kind": "learned"},
    layers.TiedOutput: {"vocabulary_size": V, "state_dropout": 0.1},
    layers.LinearOutput: {"vocabulary_size": V, "state_dropout": 0.1, "kernel_initializer": "ones"},
    layers.DeepOutput: {
        "vocabulary_size": V,
        "state_dropout": 0.1,
        "kernel_initializer": "ones",
        "output_dropout": 0.3,
    },
}


def layer_classes():
    """Every layer in keras_sat/layers, found in its modules."""
    found = set()
    for module in pkgutil.walk_packages(layers.__path__, "keras_sat.layers."):
        for value in vars(importlib.import_module(module.name)).values():
            is_own = inspect.isclass(value) and value.__module__ == module.name
            if is_own and issubclass(value, keras.layers.Layer):
                found.add(value)
    return found


def own_arguments(cls):
    """{name: default} of the constructors of a layer class and its bases, up to Keras' Layer."""
    found = {}
    for base in cls.__mro__:
        if base is keras.layers.Layer:
            return found
        if "__init__" in vars(base):
            _, *arguments = inspect.signature(base.__init__).parameters.values()
            for argument in arguments:
                if argument.kind is not argument.VAR_KEYWORD:
                    found[argument.name] = argument.default
    return found


def test_every_layer_is_in_the_table():
    assert layer_classes() == set(NOT_DEFAULT) == {getattr(layers, c.__name__) for c in NOT_DEFAULT}


@pytest.mark.parametrize("cls", NOT_DEFAULT)
def test_the_configuration_keeps_every_argument_that_is_not_a_default(cls):
    settings = NOT_DEFAULT[cls]
    defaults = own_arguments(cls)
    assert set(settings) == set(defaults)
    for name, value in settings.items():
        assert value != defaults[name], name
    of_keras = {"name": "mine", "trainable": False, "dtype": "float16"}
    layer = cls(**settings, **of_keras)
    for again in (layer, cls.from_config(layer.get_config())):
        for name, value in {**settings, **of_keras}.items():
            assert again.get_config()[name] == value, name
        for name, value in settings.items():
            assert getattr(again, name) == value, name
    # Keras finds the class by its registered name.
    stored = keras.saving.serialize_keras_object(layer)
    assert stored["registered_name"] == f"keras_sat>{cls.__name__}"
    assert keras.saving.deserialize_keras_object(stored).get_config() == layer.get_config()


@pytest.mark.parametrize("name", EVERY)
def test_gradients_reach_every_weight(name):
    layer, call = EVERY[name]
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(call(layer) ** 2 * 1e-3)
    gradients = tape.gradient(value, layer.trainable_weights)
    for weight, gradient in zip(layer.trainable_weights, gradients):
        # A softmax ignores a shift of its input, so the bias of scores has no gradient.
        if "score/bias" not in weight.name:
            assert np.any(tf.convert_to_tensor(gradient)), weight.name


@pytest.mark.parametrize("name", EVERY)
def test_mixed_precision_gives_finite_outputs(name):
    layer, call = EVERY[name]
    half = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    assert np.all(np.isfinite(tf.cast(call(half), tf.float32)))


def test_attention_is_the_papers_formula():
    attention = layers.AdditiveAttention(9)
    regions = normal(B, L, D)
    weights = attention(HIDDEN, attention.keys(regions)).numpy()
    wa, ba, wh, bh, u, c = attention.get_weights()
    for b in range(B):
        for n in range(N):
            e = [
                np.tanh(a @ wa + ba + HIDDEN[b, n].numpy() @ wh + bh) @ u[:, 0] + c[0]
                for a in regions[b].numpy()
            ]
            assert_close(weights[b, n], np.exp(e) / np.sum(np.exp(e)), roundings=D + H + 9 + L)


def test_lstm_is_keras_lstm_on_the_concatenation():
    lstm = layers.LSTM(H, D)
    reference = keras.layers.LSTMCell(H)
    state = (HIDDEN, normal(B, N, H) * 0.5)
    found = lstm(lstm.project(WORDS), CONTEXT, state)
    kernel, bias, context, recurrent = lstm.get_weights()
    flat = [tf.reshape(x, [B * N, -1]) for x in (tf.concat([WORDS, CONTEXT], -1), *state)]
    reference.build([None, E + D])
    assert np.array_equal(bias, reference.get_weights()[2])  # the same start: forget gate 1
    reference.set_weights([np.concatenate([kernel, context]), recurrent, bias])
    _, expected = reference(flat[0], flat[1:])
    for ours, theirs in zip(found, expected):
        assert_close(tf.reshape(ours, [B * N, H]), theirs, roundings=2 * (E + D + H))


def test_gru_is_keras_gru_on_the_concatenation():
    gru = layers.GRU(H)
    reference = keras.layers.GRUCell(H, reset_after=True)
    gru(gru.project(WORDS), CONTEXT, HIDDEN)
    for weight in gru.trainable_weights:  # biases too
        weight.assign(normal(*weight.shape) * 0.5)
    found = gru(gru.project(WORDS), CONTEXT, HIDDEN)
    kernel, bias, pooled, recurrent, recurrent_bias = gru.get_weights()
    reference.build([None, E + D])
    reference.set_weights(
        [np.concatenate([kernel, pooled]), recurrent, np.stack([bias, recurrent_bias])]
    )
    expected, _ = reference(
        *(tf.reshape(x, [B * N, -1]) for x in (tf.concat([WORDS, CONTEXT], -1), HIDDEN))
    )
    assert_close(tf.reshape(found, [B * N, H]), expected, roundings=2 * (E + D + H))


def test_deep_output_is_the_papers_formula():
    output = layers.DeepOutput(V)
    log_probs = output(WORDS, HIDDEN, CONTEXT).numpy()
    lo, bo, lh, bh, lz = output.get_weights()
    logits = np.tanh(WORDS + HIDDEN.numpy() @ lh + bh + CONTEXT.numpy() @ lz) @ lo + bo
    p = np.exp(logits[..., 2:]) / np.exp(logits[..., 2:]).sum(-1, keepdims=True)
    assert_close(np.exp(log_probs[..., 2:]), p, roundings=E + H + D + E + V)
    assert np.all(np.exp(log_probs[..., [PAD, START]]) == 0)


@pytest.mark.parametrize(
    "layer", [layers.DeepOutput(V, 0.5, state_dropout=0.3), layers.LinearOutput(V, 0.3)]
)
def test_leaving_out_padding_changes_nothing_at_words(layer):
    """Gradients stay the same too, with the same dropout, also on a batch without any word."""
    captions = tf.constant([[[4, 5, 2, PAD], [2, PAD, PAD, PAD], [PAD] * 4], [[PAD] * 4] * 3])
    noise = Noise(1, 7, tf.range(B))
    parts = [
        tf.repeat(each[:, :, None], T, axis=2) + tf.range(T, dtype=tf.float32)[:, None]
        for each in (WORDS, HIDDEN, CONTEXT)
    ]
    for chosen in (captions, tf.fill([B, N, T], PAD)):
        found = []
        for read in (
            lambda *parts: layer(*parts, noise=noise),
            lambda *parts: layers.read_words(layer, chosen, *parts, noise),  # noqa: B023
        ):
            with tf.GradientTape() as tape:
                tape.watch(parts)
                log_probs = tf.where(chosen[..., None] != PAD, read(*parts), 0.0)
                loss = tf.reduce_sum(log_probs[..., 2:] ** 2)
            found.append(
                [
                    log_probs,
                    *tape.gradient(loss, [*parts, *layer.weights], unconnected_gradients="zero"),
                ]
            )
        for one, other in zip(*found):
            one, other = (
                np.where(np.abs(each) < 1e8, each, 0)
                for each in map(tf.convert_to_tensor, (one, other))
            )
            assert_close(one, other, roundings=B * N * T * V)


def test_start_is_the_zero_vector():
    vectors = layers.WordEmbedding(V, E)(tf.constant([START, 4]))
    assert not np.any(vectors[0]) and np.any(vectors[1])


def test_the_papers_initialisers_are_orthogonal_or_gaussian():
    square = keras.initializers.get(layers.PAPER)([50, 50]).numpy()
    # Roundings: sums of 50 terms in the factorisation and after it.
    assert_close(square @ square.T, np.eye(50), roundings=3 * 50)
    gates = keras.initializers.get(layers.PAPER_GATES)([50, 200]).numpy()
    assert_close(gates[:, 50:100] @ gates[:, 50:100].T, np.eye(50), roundings=3 * 50)
    assert keras.initializers.get(layers.PAPER)([200, 300]).numpy().std() == pytest.approx(
        0.01, rel=0.02
    )


def test_scan_is_a_loop():
    inputs = normal(B, N, T, H)

    def step(x, state):
        state = tf.tanh(x + 0.5 * state)
        return {"state": state, "square": state[..., :2] ** 2}, state

    found = tf.function(lambda: layers.scan(step, inputs, HIDDEN, tf.ones([B, N, T], bool)))()
    state = HIDDEN
    for t in range(T):
        outputs, state = step(inputs[:, :, t], state)
        assert_close(found["state"][:, :, t], state, roundings=4 * T)
        assert_close(found["square"][:, :, t], outputs["square"], roundings=4 * T)


def test_scan_leaves_out_what_is_not_needed():
    """Computed steps keep their values and gradients. The longest caption need not come first."""
    inputs = normal(B, N, T, H)
    lengths = tf.constant([[1, 3, 1], [2, T, 1]])[:B, :N]
    needed = tf.range(T) < lengths[..., None]

    @tf.function
    def run(needed, mask):
        with tf.GradientTape() as tape:
            tape.watch([inputs, HIDDEN])
            states = layers.scan(
                lambda x, state: (tf.tanh(x + 0.5 * state),) * 2, inputs, HIDDEN, needed
            )
            loss = tf.reduce_sum(tf.where(mask[..., None], states**2, 0))
        return states, tape.gradient(loss, [inputs, HIDDEN])

    found, gradients = run(needed, needed)
    expected, expected_gradients = run(tf.ones_like(needed), needed)
    assert_close(found[needed], expected[needed], roundings=4 * T)
    assert np.any(found != expected), "something was left out"
    for ours, plain in zip(gradients, expected_gradients):
        assert_close(ours, plain, roundings=2 * 4 * T)


# Roundings: T steps forward and back, each with sums over E, H and H. In half precision sums are
# kept in float32, so there are some roundings per step.
HALF = [("mixed_float16", 2.0**-10, 12), ("mixed_bfloat16", 2.0**-7, 12)]


@pytest.mark.parametrize(
    "dtype, epsilon, roundings", [("float32", EPSILON, 2 * T * (E + H + H)), *HALF]
)
def test_kernels_as_loop_constants_change_no_gradient(dtype, epsilon, roundings):
    """An LSTM that feeds its state back as context, with a fixed context added."""
    lstm = layers.LSTM(H, H, dtype=dtype)
    words, context = (
        tf.cast(each, lstm.compute_dtype) for each in (normal(B, N, T, E), normal(B, N, H))
    )
    states = (tf.cast(HIDDEN, lstm.compute_dtype),) * 2

    def run(projected, kernels=None):
        def step(projected, state):
            state = lstm(projected, state[0] + context, state, kernels)
            return state[0], state

        return layers.scan(step, projected, states, tf.ones([B, N, T], bool))

    @tf.function
    def gradients(apart):
        with tf.GradientTape() as tape:
            tape.watch([words, context])
            projected = lstm.project(words)
            if apart:
                kernels = lstm.loop_constants(projected)
                hidden = run(kernels.addends, kernels)
                before = tf.concat([states[0][:, :, None], hidden[:, :, :-1]], axis=2)
                kernels.inputs = {"recurrent": before, "context": before + context[:, :, None]}
            else:
                hidden = run(projected)
            loss = tf.reduce_sum(tf.cast(hidden, tf.float32) * normal(B, N, T, H))
        return loss, tape.gradient(loss, [words, context, *lstm.trainable_weights])

    loss, found = gradients(True)
    expected_loss, expected = gradients(False)
    assert_close(loss, expected_loss, roundings, epsilon=epsilon)
    for ours, plain in zip(found, expected):
        ours, plain = (tf.cast(each, tf.float32).numpy() for each in (ours, plain))
        assert_close(ours, plain, roundings, epsilon=epsilon)
