"""The Transformer's layers beside Keras' and the Model Garden's, and beside plain loops."""

import keras
import numpy as np
import tensorflow as tf
from official.nlp.modeling.layers import TransformerDecoderBlock

from keras_sat import layers
from tests.support.rounding import assert_close

B, N, T, L, E, HEADS, HIDDEN = 2, 3, 4, 5, 8, 2, 12
ROUNDINGS = 8 * (E + HIDDEN + L)


def normal(*shape):
    return tf.random.stateless_normal(shape, [len(shape), shape[-1]])


REGIONS = normal(B, L, E)


def random_weights(layer):
    random = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(random.normal(0, 0.4, weight.shape))


def test_attention_of_heads_is_kerass():
    ours = layers.MultiHeadAttention(E, HEADS)
    queries = normal(B, N, E)
    ours(queries, *ours.keys_and_values(REGIONS))
    random_weights(ours)
    found, weights = ours(queries, *ours.keys_and_values(REGIONS))
    theirs = keras.layers.MultiHeadAttention(HEADS, E // HEADS)
    theirs(queries, REGIONS)
    theirs.set_weights(keras_weights(ours))
    expected, expected_weights = theirs(queries, REGIONS, return_attention_scores=True)
    assert_close(found, expected, roundings=ROUNDINGS)
    assert_close(weights, expected_weights, roundings=ROUNDINGS)


def keras_weights(attention):
    """The weights in the order and shapes of keras.layers.MultiHeadAttention."""
    depth = E // HEADS
    dense = {each.name: each.get_weights() for each in attention.submodules if each.name}
    weights = []
    for name in ("query", "key", "value"):
        kernel, *bias = dense[name]
        weights.append(kernel.reshape(E, HEADS, depth))
        weights.append(bias[0].reshape(HEADS, depth) if bias else np.zeros([HEADS, depth]))
    kernel, bias = dense["join"]
    return [*weights, kernel.reshape(HEADS, depth, E), bias]


def test_one_head_is_a_loop():
    attention = layers.MultiHeadAttention(E, 1)
    queries = normal(B, N, E)
    found, weights = attention(queries, *attention.keys_and_values(REGIONS))
    dense = {each.name: each for each in attention.submodules}
    for b in range(B):
        for n in range(N):
            query = dense["query"](queries[b, n][None])[0]
            keys = dense["key"](REGIONS[b])
            scores = [np.dot(query, key) / np.sqrt(E) for key in keys]
            share = np.exp(scores) / np.sum(np.exp(scores))
            context = sum(share[i] * dense["value"](REGIONS[b])[i] for i in range(L))
            assert_close(weights[b, 0, n], share, roundings=ROUNDINGS)
            assert_close(found[b, n], dense["join"](context[None])[0], roundings=ROUNDINGS)


def test_the_decoder_block_is_the_model_gardens():
    ours = layers.DecoderBlock(E, HEADS, HIDDEN, norm="post")
    words = normal(B, 1, T, E)
    ours(words, ours.image_keys_and_values([REGIONS]))
    random_weights(ours)
    found, _ = ours(words, ours.image_keys_and_values([REGIONS]))
    theirs = TransformerDecoderBlock(HEADS, HIDDEN, "relu", norm_epsilon=1e-6)
    earlier = tf.broadcast_to(np.tril(np.ones([T, T])), [B, T, T])
    inputs = [words[:, 0], REGIONS, tf.ones([B, T, L]), earlier]
    theirs(inputs)
    parts = {each.name: each for each in ours.submodules}
    theirs.self_attention.set_weights(keras_weights(parts["read_words"]))
    theirs.encdec_attention.set_weights(keras_weights(parts["read_image"]))
    theirs.self_attention_layer_norm.set_weights(parts["around_words"].get_weights())
    theirs.encdec_attention_layer_norm.set_weights(parts["around_image"].get_weights())
    theirs.output_layer_norm.set_weights(parts["around_transform"].get_weights())
    theirs.intermediate_dense.set_weights(parts["expand"].get_weights())
    theirs.output_dense.set_weights(parts["contract"].get_weights())
    expected, _ = theirs(inputs)
    assert_close(found[:, 0], expected, roundings=4 * ROUNDINGS)


def test_a_mesh_with_one_open_gate_is_the_plain_connection():
    meshed = layers.DecoderBlock(E, HEADS, HIDDEN, levels=2)
    words = normal(B, N, T, E)
    levels = [normal(B, L, E), REGIONS * 2]
    meshed(words, meshed.image_keys_and_values(levels))
    random_weights(meshed)
    parts = {each.name: each for each in meshed.submodules}
    for level, openness in ((0, 100.0), (1, -100.0)):
        kernel, bias = parts[f"gate_{level}"].weights
        kernel.assign(tf.zeros_like(kernel))
        bias.assign(tf.fill(bias.shape, openness))
    found, _ = meshed(words, meshed.image_keys_and_values(levels))
    plain = layers.DecoderBlock(E, HEADS, HIDDEN)
    plain(words, plain.image_keys_and_values(levels[:1]))
    of_plain = {each.name: each for each in plain.submodules}
    for name in ("read_words", "around_words", "around_image", "around_transform"):
        of_plain[name].set_weights(parts[name].get_weights())
    for name in ("expand", "contract"):
        of_plain[name].set_weights(parts[name].get_weights())
    of_plain["read_image"].set_weights(parts["read_image"].get_weights())
    for part in of_plain["read_image"].submodules:
        if part.name == "join":  # the sum over levels is divided by √levels
            part.set_weights([weight / 2**0.5 for weight in part.get_weights()])
    expected, _ = plain(words, plain.image_keys_and_values(levels[:1]))
    assert_close(found, expected, roundings=4 * ROUNDINGS)


def test_memory_vectors_take_part_and_are_not_shown():
    attention = layers.MultiHeadAttention(E, HEADS, memory_vectors=3)
    queries = normal(B, N, E)
    _, weights = attention(queries, *attention.keys_and_values(REGIONS))
    assert weights.shape == [B, HEADS, N, L]
    assert np.all(np.sum(weights, axis=-1) < 1)
    for variable in attention.weights:
        if "memory_keys" in variable.name:
            variable.assign(tf.zeros_like(variable))
    scaled = layers.MultiHeadAttention(E, HEADS)
    scaled(queries, *scaled.keys_and_values(REGIONS))
    shares = np.asarray(attention(queries, *attention.keys_and_values(REGIONS))[1])
    rest = shares.sum(axis=-1, keepdims=True)
    # Scores of zero: each of them has weight 1 / Z, so the shares among the regions are as without.
    kernels = {each.name: each.get_weights() for each in attention.submodules}
    for each in scaled.submodules:
        if each.name in ("query", "key", "value", "join"):
            each.set_weights(kernels[each.name])
    plain = scaled(queries, *scaled.keys_and_values(REGIONS))[1]
    assert_close(shares / rest, plain, roundings=ROUNDINGS)


def test_geometry_is_the_papers_formula():
    boxes = np.array([[[0.1, 0.2, 0.5, 0.4], [0.3, 0.1, 0.9, 0.8]]], np.float32)  # y, x, y, x
    geometry = layers.BoxGeometry(HEADS)
    found = geometry(tf.constant(boxes))
    kernel, bias = geometry.get_weights()
    for i in range(2):
        for j in range(2):
            top, left, bottom, right = boxes[0, i]
            other_top, other_left, other_bottom, other_right = boxes[0, j]
            width, height = right - left, bottom - top  # fmt: skip
            x = abs((left + right) - (other_left + other_right)) / 2
            y = abs((top + bottom) - (other_top + other_bottom)) / 2
            numbers = np.log(
                [
                    max(x, 1e-3) / width,
                    (other_right - other_left) / width,
                    max(y, 1e-3) / height,
                    (other_bottom - other_top) / height,
                ]
            )
            angles = 100 * numbers[:, None] * 1000 ** -(np.arange(8) / 8)
            waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1).reshape(-1)
            expected = np.log(np.maximum(waves @ kernel + bias, 1e-6))
            np.testing.assert_allclose(found[0, :, i, j], expected, rtol=2e-3, atol=2e-3)


def test_sinusoids_are_the_papers():
    found = layers.WordPositions(9, 6)(tf.constant([0, 3, 8, 20])).numpy()
    for row, position in zip(found, [0, 3, 8, 8]):  # beyond the last one: the last one's
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            np.testing.assert_allclose(row[2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], 1e-5)
