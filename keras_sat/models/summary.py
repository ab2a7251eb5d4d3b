"""The table of a captioner's layers, with the shapes of their outputs."""

import functools

import tensorflow as tf


def write_summary(model, width, write):
    """Writes one line per layer, and the inputs, outputs and numbers of weights.

    Args:
        model: a `Captioner` with weights.
        width: the number of characters per line.
        write: a function that takes a line.
    """
    inputs = {**model.input_specs(), "captions": tf.TensorSpec([None, None, None], tf.int32)}
    layers, (log_probs, attention) = _output_shapes(model, inputs)
    write(f'Model: "{model.name}" ({type(model).__name__})')
    write("_" * width)
    write(_row("Layer (type)", "Output shape", "Param #", width))
    write("=" * width)
    for name, spec in inputs.items():
        write(_row(f"{name} (input)", tuple(spec.shape), "", width))
    for layer in model.layers:
        shape = layers.get(layer.name, "")
        title = f"{layer.name} ({type(layer).__name__})"
        write(_row(title, shape, f"{layer.count_params():,}", width))
    write(_row("log_probs (output)", log_probs, "", width))
    write(_row("attention (output)", attention, "", width))
    write("=" * width)
    trainable = _count(model.trainable_weights)
    write(f"Total params: {model.count_params():,}")
    write(f"Trainable params: {trainable:,}")
    write(f"Non-trainable params: {model.count_params() - trainable:,}")
    write("_" * width)


def _output_shapes(model, inputs):
    """({layer's name: the shape or shapes that its `call` returns}, the shapes of both outputs).

    The model is traced once as a graph; nothing is computed.
    """
    shapes = {}

    def recorded(layer, call, *args, **kwargs):
        outputs = call(*args, **kwargs)
        shapes[layer.name] = tf.nest.map_structure(_shape, outputs)
        return outputs

    for layer in model.layers:
        layer.call = functools.partial(recorded, layer, layer.call)
    try:
        traced = tf.function(model, autograph=False).get_concrete_function(inputs)
    finally:
        for layer in model.layers:
            del layer.call
    return shapes, tf.nest.map_structure(_shape, traced.structured_outputs)


def _shape(tensor):
    return tuple(tensor.shape)


def _row(first, second, third, width):
    left = width * 2 // 5
    middle = width * 9 // 20
    return f"{first:<{left}} {second!s:<{middle}} {third!s:>{width - left - middle - 2}}"


def _count(weights):
    return sum(weight.shape.num_elements() for weight in weights)
