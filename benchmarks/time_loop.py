"""In which form does TensorFlow run a captioner's time loop fastest?

    python -m benchmarks.time_loop --grid 7 --batch 64

Training steps of soft attention as in benchmarks/training.py, captions sorted by length; only the
loop differs. All forms must compute the same loss. They take turns, and the fastest round of each
counts. The first round, which traces and compiles, is reported separately: where shapes are part of
the program, it is paid again for every length of captions.

    scan              the project's: one loop in the graph, whose steps may have ever fewer captions
    … ordinary        the same, but the kernels' gradients are added up step by step; in all other
                      forms the kernels are LoopConstants
    while loop        as scan, but every step has all captions
    Keras RNN         what runs behind keras.layers.RNN
    unrolled          a copy of the step for each word, a graph for each length
    while loop, XLA   the whole step compiled for each shape
    unrolled, XLA     the same of the copies
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from benchmarks.training import POOL, build, captions_of, train_specs
from keras_sat import layers


class OrdinaryKernels:
    """Instead of `LoopConstants`: the gradient of the kernels is TensorFlow's."""

    def __init__(self, lstm, projected):
        self._lstm = lstm
        self.addends = projected

    @staticmethod
    def of(lstm, projected):
        return OrdinaryKernels(lstm, projected)

    def __call__(self, x, addends):
        products = []
        for name, kernel in self._lstm._kernels().items():
            products.append(tf.tensordot(x[name], kernel, 1))
        return addends + tf.add_n(products)


def while_loop(step, inputs, state, needed):
    """As `layers.scan`, but all steps have all sequences."""
    steps = tf.shape(needed)[2]
    inputs = tf.nest.map_structure(lambda tensor: _array(_time_first(tensor)), inputs)

    def at(t):
        return tf.nest.map_structure(lambda array: array.read(t), inputs)

    def array_of(output):
        array = tf.TensorArray(output.dtype, steps, element_shape=output.shape)
        return array.write(0, output)

    first, state = step(at(0), state)
    arrays = tf.nest.map_structure(array_of, first)

    def is_left(t, state, arrays):
        return t < steps

    def body(t, state, arrays):
        outputs, state = step(at(t), state)
        arrays = tf.nest.map_structure(
            lambda array, output: array.write(t, output), arrays, outputs
        )
        return t + 1, state, arrays

    start = (1, state, arrays)
    _, _, arrays = tf.while_loop(is_left, body, start, maximum_iterations=steps)
    return tf.nest.map_structure(lambda array: _batch_first(array.stack()), arrays)


def keras_rnn(step, inputs, state, needed):
    """As `layers.scan`, by the function behind keras.layers.RNN."""
    inputs = tf.nest.map_structure(_time_first, inputs)

    def flat_step(step_inputs, flat):
        outputs, following = step(step_inputs, tf.nest.pack_sequence_as(state, flat))
        return outputs, tf.nest.flatten(following)

    flat = tf.nest.flatten(state)
    _, outputs, _ = keras.backend.rnn(flat_step, inputs, flat, time_major=True)
    return tf.nest.map_structure(_batch_first, outputs)


def unrolled(step, inputs, state, needed):
    """As `layers.scan`, with a copy of the step for each word."""
    flat = [tf.unstack(_time_first(tensor)) for tensor in tf.nest.flatten(inputs)]
    outputs = []
    for each in zip(*flat):
        output, state = step(tf.nest.pack_sequence_as(inputs, each), state)
        outputs.append(output)
    return tf.nest.map_structure(lambda *steps: tf.stack(steps, axis=2), *outputs)


def _array(steps):
    """A `tf.TensorArray` of a tensor's rows."""
    array = tf.TensorArray(
        steps.dtype, tf.shape(steps)[0], False, False, element_shape=steps.shape[1:]
    )
    return array.unstack(steps)


def _time_first(tensor):
    return tf.transpose(tensor, [2, 0, 1, *range(3, tensor.shape.rank)])


def _batch_first(tensor):
    return tf.transpose(tensor, [1, 2, 0, *range(3, tensor.shape.rank)])


def read_all_words(read_out, captions, words, hidden, context, noise):
    """As `layers.read_words`, but for padding as well: XLA cannot skip it, so no form does here."""
    return read_out(words, hidden, context, noise=noise)


@dataclass(frozen=True)
class Form:
    """A form of the time loop.

    Attributes:
        loop: a function with the arguments of `layers.scan`.
        constants: whether the kernels are LoopConstants.
        by_length: whether each length of captions has a graph of its own.
        xla: whether XLA compiles the step.
    """

    loop: Callable
    constants: bool = True
    by_length: bool = False
    xla: bool = False


FORMS = {
    "scan": Form(layers.scan),
    "… ordinary": Form(layers.scan, constants=False),
    "while loop": Form(while_loop),
    "Keras RNN": Form(keras_rnn),
    "unrolled": Form(unrolled, by_length=True),
    "while loop, XLA": Form(while_loop, by_length=True, xla=True),
    "unrolled, XLA": Form(unrolled, by_length=True, xla=True),
}


def train_step(model, form, specs):
    """The model's `train_step` with a form of the loop, as a function of a batch."""
    function = tf.function(
        lambda batch: model.train_step(batch),
        input_signature=None if form.by_length else specs,
        autograph=False,
        jit_compile=form.xla,
    )
    kernels = layers.LSTM.loop_constants if form.constants else OrdinaryKernels.of

    def step(batch):
        with (
            mock.patch.object(layers, "scan", form.loop),
            mock.patch.object(layers.LSTM, "loop_constants", kernels),
            mock.patch.object(layers, "read_words", read_all_words),
        ):
            return function(batch)  # traced here, in the first call

    return step


def _batches(args):
    """Batches of captions sorted by length, and how many captions of mean length they are."""
    rng = np.random.default_rng(1)
    captions = captions_of(args.batch * args.batches * POOL, 1, args.words, rng)
    lengths = (captions > 0).sum(axis=(1, 2))
    order = np.argsort(lengths, kind="stable").reshape(-1, args.batch)[POOL // 2 :: POOL]
    features = rng.standard_normal([args.batch, args.grid, args.grid, args.depth], np.float32)
    batches = []
    words = 0
    for rows in order:
        batches.append(
            {
                "features": tf.constant(features),
                "captions": tf.constant(captions[rows, :, : lengths[rows].max()]),
                "row": tf.range(args.batch),
            }
        )
        words += lengths[rows].sum()
    return batches, words / lengths.mean()


def _time(steps, batches, rounds):
    """Times the forms, which take turns.

    Args:
        steps: {form: training step}.
        batches: those of a round.
        rounds: how many there are after the first, which traces and compiles.
    Returns:
        {form: seconds of each round}.
    """
    seconds = {form: [] for form in steps}
    losses = {}
    for _ in range(rounds + 1):
        for form, step in steps.items():
            started = time.perf_counter()
            for batch in batches:
                loss = step(batch)["loss"]
            losses[form] = float(loss)
            seconds[form].append(time.perf_counter() - started)
        spread = np.ptp(list(losses.values()))
        assert spread < 1e-3 * losses["scan"], f"all compute the same loss: {losses}"
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sizes = {
        "batch": 64,
        "grid": 7,
        "depth": 1024,
        "width": 512,
        "words": 2633,
        "batches": 4,
        "rounds": 3,
    }
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    batches, captions = _batches(args)
    steps = {}
    for name, form in FORMS.items():
        model = build(args.words, args.grid, args.depth, args.width)
        steps[name] = train_step(model, form, train_specs(model))
    seconds = _time(steps, batches, args.rounds)
    first = {form: times[0] for form, times in seconds.items()}
    rates = {form: captions / min(times[1:]) for form, times in seconds.items()}
    for form, rate in rates.items():
        ratio = rate / rates["scan"]
        print(
            f"{form:>16}: {rate:6.1f} captions per second, {ratio:.2f} ×, "
            f"first round {first[form]:5.1f} s"
        )
    found = {"captions_a_second": rates, "first_round_seconds": first}
    print(json.dumps({"settings": vars(args), **found}))


if __name__ == "__main__":
    main()
