"""In which form does TensorFlow run a captioner's time loop fastest?

    python -m benchmarks.time_loop --grid 7 --batch 64

Training steps of soft attention as in benchmarks/training.py, captions sorted by length; nothing but the loop is exchanged.
All forms must compute the same loss. They take turns, and the fastest round of each counts; the first round, which traces
and compiles, is told apart: where shapes are part of the program, every length of captions costs it again.

    scan              the project's: one loop in the graph, whose steps may be of fewer and fewer captions
    … ordinary        the same, but the kernels' gradients are added up step by step; in all others they are LoopConstants
    while loop        the same without that freedom
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

from benchmarks.training import POOL, build, captions_of
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
        return addends + tf.add_n(
            [tf.tensordot(x[name], kernel, 1) for name, kernel in self._lstm._kernels().items()]
        )


def while_loop(step, inputs, state, needed):
    """As `layers.scan`, for all sequences at all steps."""
    steps = tf.shape(needed)[2]
    inputs = tf.nest.map_structure(lambda tensor: _array(_time_first(tensor)), inputs)

    def at(t):
        return tf.nest.map_structure(lambda array: array.read(t), inputs)

    first, state = step(at(0), state)
    arrays = tf.nest.map_structure(
        lambda o: tf.TensorArray(o.dtype, steps, element_shape=o.shape).write(0, o), first
    )

    def body(t, state, arrays):
        outputs, state = step(at(t), state)
        return (
            t + 1,
            state,
            tf.nest.map_structure(lambda array, output: array.write(t, output), arrays, outputs),
        )

    _, _, arrays = tf.while_loop(
        lambda t, *_: t < steps, body, (1, state, arrays), maximum_iterations=steps
    )
    return tf.nest.map_structure(lambda array: _batch_first(array.stack()), arrays)


def keras_rnn(step, inputs, state, needed):
    _, outputs, _ = keras.backend.rnn(
        step, tf.nest.map_structure(_time_first, inputs), state, time_major=True
    )
    return tf.nest.map_structure(_batch_first, outputs)


def unrolled(step, inputs, state, needed):
    flat, outputs = [tf.unstack(_time_first(tensor)) for tensor in tf.nest.flatten(inputs)], []
    for each in zip(*flat):
        output, state = step(tf.nest.pack_sequence_as(inputs, each), state)
        outputs.append(output)
    return tf.nest.map_structure(lambda *steps: tf.stack(steps, axis=2), *outputs)


def _array(steps):
    return tf.TensorArray(
        steps.dtype, tf.shape(steps)[0], False, False, element_shape=steps.shape[1:]
    ).unstack(steps)


def _time_first(tensor):
    return tf.transpose(tensor, [2, 0, 1, *range(3, tensor.shape.rank)])


def _batch_first(tensor):
    return tf.transpose(tensor, [1, 2, 0, *range(3, tensor.shape.rank)])


def read_all_words(read_out, captions, words, hidden, context, noise):
    """As `layers.read_words`, at padding as well: XLA cannot leave it out, so here no form does."""
    return read_out(words, hidden, context, noise=noise)


@dataclass(frozen=True)
class Form:
    """`loop`: as `layers.scan`. `constants`: the kernels are LoopConstants. `by_length`: a graph for each length. `xla`."""

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
    """The model's `train_step` with that form of the loop, as a function of a batch."""
    function = tf.function(
        lambda batch: model.train_step(batch),
        None if form.by_length else specs,
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
            return function(batch)  # traced in here

    return step


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

    rng = np.random.default_rng(1)
    captions = captions_of(args.batch * args.batches * POOL, 1, args.words, rng)
    lengths = (captions > 0).sum(axis=(1, 2))
    order = np.argsort(lengths, kind="stable").reshape(-1, args.batch)[POOL // 2 :: POOL]
    features = rng.standard_normal([args.batch, args.grid, args.grid, args.depth], np.float32)
    batches = [
        {
            "features": tf.constant(features),
            "captions": tf.constant(captions[rows, :, : lengths[rows].max()]),
            "row": tf.range(args.batch),
        }
        for rows in order
    ]
    size = sum(lengths[rows].sum() for rows in order) / lengths.mean()  # captions of mean length
    captions_spec, row_spec = (
        tf.TensorSpec([None, None, None], tf.int32),
        tf.TensorSpec([None], tf.int32),
    )
    models = {form: build(args.words, args.grid, args.depth, args.width) for form in FORMS}
    steps = {
        form: train_step(
            model, FORMS[form], [model.input_specs() | {"captions": captions_spec, "row": row_spec}]
        )
        for form, model in models.items()
    }
    seconds, losses = {form: [] for form in FORMS}, {}
    for _ in range(args.rounds + 1):  # the first traces and compiles
        for form, step in steps.items():
            started = time.perf_counter()
            for batch in batches:
                loss = step(batch)["loss"]
            losses[form] = float(loss)
            seconds[form].append(time.perf_counter() - started)
        assert np.ptp(list(losses.values())) < 1e-3 * losses["scan"], (
            f"all compute the same loss: {losses}"
        )
    rates = {form: size / min(times) for form, (_, *times) in seconds.items()}
    first = {form: times[0] for form, times in seconds.items()}
    for form, rate in rates.items():
        print(
            f"{form:>16}: {rate:6.1f} captions a second, {rate / rates['scan']:.2f} ×, first round {first[form]:5.1f} s"
        )
    print(
        json.dumps(
            {"settings": vars(args), "captions_a_second": rates, "first_round_seconds": first}
        )
    )


if __name__ == "__main__":
    main()
