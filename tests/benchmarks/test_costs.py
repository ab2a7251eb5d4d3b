"""The formulas of benchmarks/costs.py against the products that TensorFlow computes."""

import dataclasses
import math

import pytest
import tensorflow as tf
from tensorflow.python.framework import op_callbacks

from benchmarks import costs
from keras_sat import config
from keras_sat.models import build_captioner

WIDTHS = {"embedding_size": 7, "state_size": 7}
SYSTEMS = {
    "soft": config.Soft(**WIDTHS, attention_size=7),
    "show_and_tell": config.ShowAndTell(**WIDTHS, lstm_layers=1),
    "areas": config.Areas(**WIDTHS),
}
IMAGES, N, T = 3, 2, 5


def operations_of(compute):
    """Returns 2 × the multiplications of all matrix products that a function computes."""
    found = []

    def record(kind, inputs, attributes, outputs, op_name=None, graph=None):
        attributes = dict(zip(attributes[::2], attributes[1::2]))
        if kind in ("MatMul", "BatchMatMulV2"):
            transposed = attributes.get("transpose_a") or attributes.get("adj_x")
            found.append(
                2 * math.prod(outputs[0].shape) * inputs[0].shape[-2 if transposed else -1]
            )
        if kind == "Einsum":
            names = attributes["equation"].partition("->")[0].split(",")
            sizes = {}
            for each, tensor in zip(names, inputs):
                sizes.update(zip(each, tensor.shape))
            found.append(2 * math.prod(sizes.values()))

    op_callbacks.add_op_callback(record)
    try:
        compute()
    finally:
        op_callbacks.remove_op_callback(record)
    return sum(found)


@pytest.mark.parametrize("system", SYSTEMS)
def test_operations_are_those_that_tensorflow_computes(system):
    sizes = costs.Sizes(6, 11, 13, 7, T, N, IMAGES * N)
    model = build_captioner(SYSTEMS[system], sizes.words, {"features": (2, 3, sizes.depth)}, seed=1)
    inputs = {
        "features": tf.random.normal([IMAGES, 2, 3, sizes.depth]),
        "captions": tf.fill([IMAGES, N, T], 4),
    }
    model(inputs)
    cost = costs.SYSTEMS[system](sizes)
    assert operations_of(lambda: model(inputs)) == IMAGES * N * cost.forward(sizes)

    def train():
        with tf.GradientTape() as tape:
            log_probs, _ = model(inputs)
            loss = tf.reduce_sum(log_probs)
        tape.gradient(loss, model.trainable_variables, unconnected_gradients="zero")

    # In eager mode the LSTM's product is computed once more for the gradient of its kernels.
    # A graph would drop it.
    fed_back = {"soft": sizes.depth + sizes.width, "show_and_tell": sizes.width, "areas": 0}[system]
    again = 2 * T * fed_back * 4 * sizes.width
    assert operations_of(train) == pytest.approx(
        IMAGES * N * (cost.training(sizes) + again), rel=0.05
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_parameters_are_those_of_the_built_model(system):
    widths = {"embedding_size": 64, "state_size": 64}
    if system == "soft":
        widths["attention_size"] = 64
    settings = dataclasses.replace(SYSTEMS[system], **widths)
    model = build_captioner(settings, 200, {"features": (2, 2, 96)}, seed=1)
    expected = costs.PARAMETERS[system](costs.Sizes(4, 96, 200, 64))
    found = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    # The tolerance is for the biases.
    assert found == pytest.approx(expected, rel=0.02)
