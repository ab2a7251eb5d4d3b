"""How does the time of a step grow with regions, words, batch and beam? Is that predicted?

    python -m benchmarks.growth --output docs/growth.png

Training steps of soft attention and of Areas of Attention, captions of 12 words, all widths 512,
regions of 1,024 numbers; beam search for 20 words. The lines are the prediction of
benchmarks/costs.py: operations by the rate of a matrix product, bytes by that of adding two large
arrays, and the calls of a step by what a step of a tiny model takes, each measured in the same run.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import keras
import tensorflow as tf
from matplotlib.figure import Figure

from benchmarks.costs import SYSTEMS, Sizes
from benchmarks.training import matmul_rate
from keras_sat import config
from keras_sat.decoding.search import caption_function
from keras_sat.models import build_captioner
from keras_sat.utils.progress import progress_bar

WORDS = 12
SHOWN = ("soft", "areas")
BASE = {
    "regions": Sizes(words=2633, steps=WORDS, batch=16),
    "words": Sizes(regions=49, steps=WORDS, batch=32),
    "batch": Sizes(regions=49, steps=WORDS),
    "beam": Sizes(steps=20, batch=8),
}
VALUES = {
    "regions": [49, 100, 196, 400, 784],
    "words": [2000, 5000, 10_000, 20_000, 40_000],
    "batch": [8, 16, 32, 64, 128, 256],
    "beam": [1, 2, 3, 5, 10],
}
LARGE = 64 << 20  # numbers in an array of 256 MB


def fastest(compute, rounds=3):
    """Seconds of the fastest of some calls after the first, which compiles."""
    compute()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        compute()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def build(system, sizes):
    """A captioner of these sizes that is ready to be trained."""
    widths = {"embedding_size": sizes.width, "state_size": sizes.width}
    if system == "areas":
        settings = config.Areas(**widths)
    else:
        settings = config.Soft(**widths, attention_size=sizes.width)
    grid = round(sizes.regions**0.5)
    model = build_captioner(settings, sizes.words, {"features": (grid, grid, sizes.depth)}, seed=1)
    model.compile(keras.optimizers.SGD(1e-3), seed=1)
    return model


def features(sizes):
    """Random features of a batch of images."""
    grid = round(sizes.regions**0.5)
    # Small, as a CNN's are: with larger ones, an untrained model of areas takes the path for scores
    # that are far apart.
    return 0.3 * tf.random.stateless_normal([sizes.batch, grid, grid, sizes.depth], [1, 2])


def training_seconds(system, sizes):
    step = tf.function(build(system, sizes).train_step, autograph=False)
    captions = tf.random.stateless_uniform(
        [sizes.batch, 1, sizes.steps], [1, 2], 4, sizes.words, tf.int32
    )
    batch = {"features": features(sizes), "captions": captions, "row": tf.range(sizes.batch)}
    return fastest(lambda: step(batch)["loss"].numpy())


def decoding_seconds(system, sizes, beam):
    # No caption ends earlier, as in training.
    settings = config.Decoding(
        beam=beam, max_length=sizes.steps, min_length=sizes.steps - 1, unknown=True
    )
    generate = caption_function(build(system, sizes), settings)
    batch = features(sizes)
    return fastest(lambda: generate({"features": batch})["captions"].numpy())


def machine():
    """The machine's rates.

    Returns:
        {"flops": operations per second, "bandwidth": bytes per second, SYSTEM: seconds that the
        calls of a training step take for one word, "SYSTEM beam": those of a step of beam search}.
    """
    a = tf.fill([LARGE], 1.0)
    b = tf.fill([LARGE], 2.0)
    add = tf.function(lambda: a + b)
    tiny = Sizes(regions=4, depth=8, words=20, width=8, steps=WORDS, batch=1)
    calls = {}
    for system in SHOWN:
        calls[system] = training_seconds(system, tiny) / tiny.steps
    for system in SHOWN:
        calls[f"{system} beam"] = decoding_seconds(system, tiny, 2) / tiny.steps
    return {
        "flops": matmul_rate(),
        "bandwidth": 3 * 4 * LARGE / fastest(lambda: add()[0].numpy()),
        **calls,
    }


def predicted(rates, system, sizes, beam=None):
    """Seconds of a training step or, with a beam, of beam search."""
    if beam:
        sizes = dataclasses.replace(sizes, captions_an_image=beam, batch=sizes.batch * beam)
    cost = SYSTEMS[system](sizes)
    if beam:
        operations = cost.forward(sizes)
        traffic = cost.traffic_forward
        calls = rates[f"{system} beam"]
    else:
        operations = cost.training(sizes)
        traffic = cost.traffic
        calls = rates[system]
    caption = operations / rates["flops"] + traffic / rates["bandwidth"]
    return sizes.batch * caption + sizes.steps * calls


def measure():
    """Measures all points.

    Returns:
        The machine's rates, and {what grows: [{"system", "value", "measured", "predicted"}]}, in
        seconds.
    """
    rates = machine()
    points = []
    for name, values in VALUES.items():
        for value in values:
            points += [(name, value, system) for system in SHOWN]
    found = {name: [] for name in VALUES}
    for name, value, system in progress_bar(points, unit=" points"):
        found[name].append(_point(rates, name, value, system))
    return rates, found


def _point(rates, name, value, system):
    if name == "beam":
        sizes = BASE[name]
        measured = decoding_seconds(system, sizes, value)
        expected = predicted(rates, system, sizes, value)
    else:
        sizes = dataclasses.replace(BASE[name], **{name: value})
        measured = training_seconds(system, sizes)
        expected = predicted(rates, system, sizes)
    return {"system": system, "value": value, "measured": measured, "predicted": expected}


def plot(found):
    """Draws what `measure` has found; returns the figure."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(2, 2).flat, found.items()):
        for system, colour in zip(SHOWN, ("tab:blue", "tab:orange")):
            chosen = [point for point in points if point["system"] == system]
            values = [point["value"] for point in chosen]
            measured = [point["measured"] for point in chosen]
            expected = [point["predicted"] for point in chosen]
            axes.plot(values, measured, "o", color=colour, label=f"{system}, measured")
            axes.plot(values, expected, color=colour, label=f"{system}, predicted")
        unit = "seconds per batch" if name == "beam" else "seconds per step"
        axes.set(xscale="log", yscale="log", xlabel=name, ylabel=unit)
        axes.set_xticks(values, values, minor=False)
        axes.set_xticks([], minor=True)
        axes.grid(True, alpha=0.3)
    figure.axes[0].legend()
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", metavar="PNG", help="draw the plots to this file")
    args = parser.parse_args()
    if args.output and not Path(args.output).absolute().parent.is_dir():
        parser.error(f"--output {args.output}: its folder does not exist")
    rates, found = measure()
    print(f"{rates['flops'] / 1e9:.0f} GFLOP/s, {rates['bandwidth'] / 1e9:.1f} GB/s")
    for name, points in found.items():
        for point in points:
            ratio = point["measured"] / point["predicted"]
            what = f"{point['system']:>6}, {name} {point['value']:>6}"
            print(f"{what}: {point['measured']:7.3f} s, {ratio:.2f} × predicted")
    if args.output:
        plot(found).savefig(args.output, dpi=110)
    print(json.dumps({"machine": rates, "points": found}))


if __name__ == "__main__":
    main()
