"""How many captions per second does a training step process, beside a Python loop over steps?

    pip install ".[bench]"
    python -m benchmarks.training --grid 14 --batch 32
    python -m benchmarks.training --grid 7 --batch 128

Soft attention, all widths 512, 2,633 words, captions of Flickr8k's lengths, Adam: forward,
backward, clipping and update, no dropout. keras_sat sorts captions by length (`data.batching:
captions`), or takes all five captions of an image together, sorted by the longest (`images`). The
other side is the same model in PyTorch (benchmarks/pytorch_captioner.py), on captions in random
order. The batches are every eighth of many, so that they are as evenly filled as those of an
epoch. Both sides must compute the same loss. They take turns, and the fastest round of each
counts.

Beside the rates stands the share of the floating-point limit: the operations per second that the
model needs (benchmarks/costs.py), by those that a product of two 2048² matrices reaches in the
same run.
"""

import argparse
import json
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.costs import Sizes, soft
from keras_sat import config
from keras_sat.models import build_captioner
from keras_sat.text.ids import END, PAD, UNKNOWN

# Captions of Flickr8k's training split by length, END included; those of 26 and more (0.3 %) count
# as 25.
LENGTHS = {
    3: 15, 4: 126, 5: 346, 6: 862, 7: 1958, 8: 2537, 9: 2927, 10: 3319, 11: 3319, 12: 3132,
    13: 2778, 14: 2320, 15: 1848, 16: 1329, 17: 977, 18: 662, 19: 513, 20: 365, 21: 204, 22: 136,
    23: 110, 24: 74, 25: 143,
}  # fmt: skip
POOL = 8  # as many batches are drawn for each that is used
CAPTIONS_AN_IMAGE = 5


def matmul_rate(size=2048):
    """Floating-point operations per second of a square matrix product."""
    a = tf.random.stateless_normal([size, size], [1, 2])
    product = tf.function(lambda: tf.matmul(a, a))
    product()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        product().numpy()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)


def build(words, grid, depth, width):
    """A captioner with soft attention that is ready to be trained."""
    settings = config.Soft(
        embedding_size=width,
        state_size=width,
        attention_size=width,
        state_dropout=0.0,
        output_dropout=0.0,
    )
    model = build_captioner(settings, words, {"features": (grid, grid, depth)}, seed=1)
    optimizer = keras.optimizers.Adam(4e-4, global_clipnorm=5.0)
    model.compile(optimizer, seed=1)
    return model


def captions_of(images, each, words, rng):
    """Random captions of Flickr8k's lengths, int32 [images, each, T], padded with PAD."""
    shares = np.array(list(LENGTHS.values())) / sum(LENGTHS.values())
    lengths = rng.choice(list(LENGTHS), [images, each], p=shares)
    places = np.arange(max(LENGTHS))
    captions = rng.integers(UNKNOWN + 1, words, [images, each, len(places)])
    captions = np.where(places == lengths[..., None] - 1, END, captions)
    return np.where(places < lengths[..., None], captions, PAD).astype(np.int32)


def train_specs(model):
    """The input signature of the model's `train_step`, for captions of any number and length."""
    specs = dict(model.input_specs())
    specs["captions"] = tf.TensorSpec([None, None, None], tf.int32)
    specs["row"] = tf.TensorSpec([None], tf.int32)
    return [specs]


def _batches(captions, order, size):
    """Some of the batches of captions [images, N, T] in an order, evenly spread over it."""
    starts = range(0, len(order) - size + 1, size)
    for start in starts[POOL // 2 :: POOL]:
        chosen = captions[order[start : start + size]]
        longest = (chosen > 0).sum(axis=-1).max()
        yield chosen[..., :longest]


def _with_features(batches, grid, depth, rng):
    """The inputs of the model for batches of captions [B, N, T], with random features."""
    inputs = []
    for captions in batches:
        images = len(captions)
        features = rng.standard_normal([images, grid, grid, depth], np.float32)
        inputs.append(
            {
                "features": tf.constant(features),
                "captions": tf.constant(captions),
                "row": tf.range(images),
            }
        )
    return inputs


def _training(step, batches):
    """A function that makes a training step on each batch."""

    def train():
        for batch in batches:
            results = step(batch)
        results["loss"].numpy()  # waits for the last step

    return train


def _words(batches):
    return sum(int((batch["captions"].numpy() > 0).sum()) for batch in batches)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sizes = {
        "batch": 32,
        "grid": 14,
        "depth": 1024,
        "width": 512,
        "words": 2633,
        "batches": 6,
        "rounds": 3,
    }
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    from benchmarks import pytorch_captioner  # PyTorch is optional

    rng = np.random.default_rng(1)
    each = CAPTIONS_AN_IMAGE
    images = args.batch * args.batches * POOL // each
    captions = captions_of(images, each, args.words, rng)
    lengths = (captions > 0).sum(axis=-1)
    # An image's longest caption comes first, as in the input pipeline.
    order = np.argsort(-lengths, axis=1, kind="stable")
    captions = np.take_along_axis(captions, order[..., None], 1)
    lengths = np.take_along_axis(lengths, order, 1)

    singly = captions.reshape(-1, 1, captions.shape[-1])
    mixed = rng.permutation(images * each)
    by_length = mixed[np.argsort(lengths.reshape(-1)[mixed], kind="stable")]
    by_longest = np.argsort(lengths.max(axis=1), kind="stable")
    features = (args.grid, args.depth, rng)
    alone = _with_features(_batches(singly, by_length, args.batch), *features)
    shared = _with_features(_batches(captions, by_longest, args.batch // each), *features)
    unsorted = _with_features(_batches(singly, mixed, args.batch), *features)
    batches = {
        "PyTorch": unsorted,
        "keras_sat, by length": alone,
        "keras_sat, five per image": shared,
    }

    model = build(args.words, args.grid, args.depth, args.width)
    other = pytorch_captioner.SoftAttention.of(model)
    losses, *_ = model.loss_terms(alone[0], float(len(alone[0]["row"])))
    expected = float(sum(losses.values()))
    found = float(other.loss(*pytorch_captioner.inputs_of(alone[0])))
    assert abs(found / expected - 1) < 1e-4, "both compute the same loss"

    step = tf.function(model.train_step, train_specs(model), autograph=False)
    sides = {name: _training(step, batches[name]) for name in batches}
    sides["PyTorch"] = pytorch_captioner.training(other, unsorted)
    seconds = {name: [] for name in sides}
    for _ in range(args.rounds + 1):  # the first compiles
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - started)

    # Captions of mean length: those of the sides' batches differ a little.
    rates = {}
    for name in sides:
        rates[name] = _words(batches[name]) / lengths.mean() / min(seconds[name][1:])
    limit = matmul_rate()
    shares = {}
    for name, rate in rates.items():
        sharing = each if name == "keras_sat, five per image" else 1
        sizes = Sizes(
            args.grid**2, args.depth, args.words, args.width, lengths.mean(), sharing, args.batch
        )
        shares[name] = rate * soft(sizes).training(sizes) / limit
        ratio = rate / rates["PyTorch"]
        share = f"{shares[name]:4.0%} of the limit"
        print(f"{name:>25}: {rate:7.1f} captions per second, {ratio:4.1f} ×, {share}")
    found = {"captions_a_second": rates, "share_of_limit": shares, "matmul_gflops": limit / 1e9}
    print(json.dumps({"settings": vars(args), **found}))


if __name__ == "__main__":
    main()
