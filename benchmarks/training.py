"""How many captions a second does a training step learn from, beside a Python loop over time steps?

    pip install ".[bench]"
    python -m benchmarks.training --grid 14 --batch 32
    python -m benchmarks.training --grid 7 --batch 128

Soft attention, all widths 512, 2,633 words, captions of Flickr8k's lengths, Adam: forward, backward, clipping and update, no
dropout. keras_sat sorts captions by length (`data.batching: captions`), or takes five of each image at a time, sorted by the
longest (`images`); the other side is the same model in PyTorch (benchmarks/pytorch_captioner.py) on captions in the order
they come. The batches are every eighth of many, so that they are as evenly filled as those of an epoch. Both must compute
the same loss. The sides take turns, and the fastest round of each counts.

Beside them, the share of the floating-point limit: the operations that the model needs (benchmarks/costs.py) a second, by
those that a product of two 2048² matrices reaches in the same run.
"""

import argparse
import json
import time

# Captions of Flickr8k's training split by length, END included; those of 26 and more (0.3 %) count as 25.
LENGTHS = {
    3: 15, 4: 126, 5: 346, 6: 862, 7: 1958, 8: 2537, 9: 2927, 10: 3319, 11: 3319, 12: 3132, 13: 2778, 14: 2320, 15: 1848,
    16: 1329, 17: 977, 18: 662, 19: 513, 20: 365, 21: 204, 22: 136, 23: 110, 24: 74, 25: 143,
}  # fmt: skip
POOL = 8  # as many batches are drawn for each that is used


def matmul_rate(size=2048):
    """Floating-point operations a second of a square matrix product."""
    import tensorflow as tf

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
    import keras

    from keras_sat import config
    from keras_sat.models import build_captioner

    settings = config.Soft(
        embedding_size=width,
        state_size=width,
        attention_size=width,
        state_dropout=0.0,
        output_dropout=0.0,
    )
    model = build_captioner(settings, words, {"features": (grid, grid, depth)}, seed=1)
    model.compile(keras.optimizers.Adam(4e-4, global_clipnorm=5.0), seed=1)
    return model


def captions_of(images, each, words, rng):
    """int32 [images, each, T], of Flickr8k's lengths, padded with PAD."""
    import numpy as np

    from keras_sat.text.ids import END, PAD, UNKNOWN

    lengths = rng.choice(
        list(LENGTHS), [images, each], p=np.array(list(LENGTHS.values())) / sum(LENGTHS.values())
    )
    places = np.arange(max(LENGTHS))
    captions = rng.integers(UNKNOWN + 1, words, [images, each, len(places)])
    captions = np.where(places == lengths[..., None] - 1, END, captions)
    return np.where(places < lengths[..., None], captions, PAD).astype(np.int32)


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
    import numpy as np
    import tensorflow as tf
    import torch

    from benchmarks.costs import Sizes, soft
    from benchmarks.pytorch_captioner import SoftAttention

    rng, each = np.random.default_rng(1), 5
    images = args.batch * args.batches * POOL // each
    captions = captions_of(images, each, args.words, rng)
    lengths = (captions > 0).sum(axis=-1)
    # An image's longest caption comes first, as in the input pipeline.
    order = np.argsort(-lengths, axis=1, kind="stable")
    captions, lengths = (
        np.take_along_axis(captions, order[..., None], 1),
        np.take_along_axis(lengths, order, 1),
    )

    def rows(order, n):
        """Some of the batches of captions [B, N, T] in that order, evenly spread."""
        size = args.batch // n
        starts = range(0, len(order) - size + 1, size)
        for start in starts[POOL // 2 :: POOL]:
            chosen = order[start : start + size]
            texts = (
                captions.reshape(-1, 1, captions.shape[-1])[chosen] if n == 1 else captions[chosen]
            )
            yield texts[..., : (texts > 0).sum(axis=-1).max()]

    def pictures(count):
        return rng.standard_normal([count, args.grid, args.grid, args.depth], np.float32)

    def tensors(batches):
        return [
            {
                "features": tf.constant(pictures(len(c))),
                "captions": tf.constant(c),
                "row": tf.range(len(c)),
            }
            for c in batches
        ]

    def in_torch(batch):
        regions = torch.from_numpy(batch["features"].numpy()).reshape(
            len(batch["row"]), -1, args.depth
        )
        return regions, torch.from_numpy(batch["captions"].numpy()[:, 0]).long()

    mixed = rng.permutation(images * each)
    by_length = mixed[np.argsort(lengths.reshape(-1)[mixed], kind="stable")]
    by_longest = np.argsort(lengths.max(axis=1), kind="stable")
    alone, shared = tensors(rows(by_length, 1)), tensors(rows(by_longest, each))
    unsorted = tensors(rows(mixed, 1))
    loops = [in_torch(batch) for batch in unsorted]

    model = build(args.words, args.grid, args.depth, args.width)
    other = SoftAttention.of(model)
    expected = float(sum(model.loss_terms(alone[0], float(len(alone[0]["row"])))[0].values()))
    found = float(other.loss(*in_torch(alone[0])))
    assert abs(found / expected - 1) < 1e-4, "both compute the same loss"
    optimizer = torch.optim.Adam(other.parameters(), 4e-4)

    def torch_step(features, captions):
        optimizer.zero_grad()
        other.loss(features, captions).backward()
        torch.nn.utils.clip_grad_norm_(other.parameters(), 5.0)
        optimizer.step()

    captions_spec, row_spec = (
        tf.TensorSpec([None, None, None], tf.int32),
        tf.TensorSpec([None], tf.int32),
    )
    specs = [model.input_specs() | {"captions": captions_spec, "row": row_spec}]
    step = tf.function(model.train_step, specs, autograph=False)
    sides = {
        "PyTorch": lambda: [torch_step(*batch) for batch in loops],
        "keras_sat, by length": lambda: [step(batch) for batch in alone][-1]["loss"].numpy(),
        "keras_sat, five an image": lambda: [step(batch) for batch in shared][-1]["loss"].numpy(),
    }
    words = {name: 0 for name in sides}
    for name, batches in zip(sides, (unsorted, alone, shared)):
        words[name] = sum(int((batch["captions"].numpy() > 0).sum()) for batch in batches)
    seconds = {name: [] for name in sides}
    for _ in range(args.rounds + 1):  # the first compiles
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - started)
    # Captions of mean length: those of the sides' batches differ a little.
    rates = {name: words[name] / lengths.mean() / min(seconds[name][1:]) for name in sides}
    limit, shares = matmul_rate(), {}
    for name, rate in rates.items():
        sharing = each if "five" in name else 1
        sizes = Sizes(
            args.grid**2, args.depth, args.words, args.width, lengths.mean(), sharing, args.batch
        )
        shares[name] = rate * soft(sizes).training(sizes) / limit
        times = rate / rates["PyTorch"]
        print(
            f"{name:>25}: {rate:7.1f} captions a second, {times:4.1f} ×, {shares[name]:4.0%} of the limit"
        )
    found = {"captions_a_second": rates, "share_of_limit": shares, "matmul_gflops": limit / 1e9}
    print(json.dumps({"settings": vars(args), **found}))


if __name__ == "__main__":
    main()
