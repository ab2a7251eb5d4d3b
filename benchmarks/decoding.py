"""How many images a second does beam search caption, beside a Python loop that takes one image at a time?

    pip install ".[bench]"
    python -m benchmarks.decoding --beam 3

Soft attention over 14×14×1024 features without the CNN, all widths 512, 2,633 words, 20 steps: no caption ends earlier. The
other side is the same model in PyTorch (benchmarks/pytorch_captioner.py) with the same weights; both must find the same
captions. The sides take turns, and the fastest round of each counts.
"""

import argparse
import json
import time


def build(words, grid, depth, width):
    import tensorflow as tf

    from keras_sat import config
    from keras_sat.models import build_captioner
    from keras_sat.text.ids import END

    settings = config.Soft(embedding_size=width, state_size=width, attention_size=width)
    model = build_captioner(settings, words, {"features": (grid, grid, depth)}, seed=1)
    model.embedding.table.assign(
        0.3 * tf.random.stateless_normal(model.embedding.table.shape, [1, 1])
    )
    bias = model.read_out._logits.bias
    bias.assign(tf.random.stateless_normal(bias.shape, [1, 2]) - 1e4 * tf.one_hot(END, words))
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sizes = {
        "beam": 3,
        "batch": 64,
        "words": 2633,
        "grid": 14,
        "depth": 1024,
        "width": 512,
        "steps": 20,
        "rounds": 5,
    }
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    import tensorflow as tf
    import torch

    from benchmarks.pytorch_captioner import SoftAttention
    from keras_sat.config import Decoding
    from keras_sat.decoding.search import caption_function

    model = build(args.words, args.grid, args.depth, args.width)
    other = SoftAttention.of(model)
    generate = caption_function(
        model, Decoding(beam=args.beam, max_length=args.steps, unknown=True, min_length=0)
    )
    features = tf.random.stateless_normal([args.batch, args.grid, args.grid, args.depth], [1, 3])
    regions = torch.from_numpy(features.numpy()).reshape(args.batch, -1, args.depth)
    alone = min(args.batch, 8)  # images captioned one by one in a round
    sides = {
        f"keras_sat, batch {args.batch}": (args.batch, lambda: generate({"features": features})),
        "keras_sat, batch 1": (
            alone,
            lambda: [generate({"features": features[b : b + 1]}) for b in range(alone)],
        ),
        "PyTorch, one at a time": (
            alone,
            lambda: [other.caption(each, args.beam, args.steps) for each in regions[:alone]],
        ),
    }
    found, _, expected = (side() for _, side in sides.values())  # the first calls compile
    for b, (caption, log_p) in enumerate(expected):
        assert found["captions"][b, 0].numpy().tolist() == caption, "they find the same captions"
        assert abs(float(found["log_probs"][b, 0]) / log_p - 1) < 1e-4
    seconds = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, (_, side) in sides.items():
            started = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - started)
    rates = {name: images / min(seconds[name]) for name, (images, _) in sides.items()}
    for name, rate in rates.items():
        print(
            f"{name:>24}: {rate:7.1f} images a second, {rate / rates['PyTorch, one at a time']:5.1f} ×"
        )
    print(json.dumps({"settings": vars(args), "images_a_second": rates}))


if __name__ == "__main__":
    main()
