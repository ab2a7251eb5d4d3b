"""How many images per second does beam search caption, beside a Python loop over single images?

    pip install ".[bench]"
    python -m benchmarks.decoding --beam 3

Soft attention over 14×14×1024 features without the CNN, all widths 512, 2,633 words, 20 steps: no
caption ends earlier. The other side is the same model in PyTorch (benchmarks/pytorch_captioner.py)
with the same weights; both must find the same captions. The sides take turns, and the fastest round
of each counts.
"""

import argparse
import json
import time

import tensorflow as tf

from keras_sat import config
from keras_sat.decoding.search import caption_function
from keras_sat.models import build_captioner
from keras_sat.text.ids import END


def build(words, grid, depth, width):
    """A captioner with soft attention whose captions differ and never end."""
    settings = config.Soft(embedding_size=width, state_size=width, attention_size=width)
    model = build_captioner(settings, words, {"features": (grid, grid, depth)}, seed=1)
    table = model.embedding.table
    table.assign(0.3 * tf.random.stateless_normal(table.shape, [1, 1]))
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
    import torch  # PyTorch is optional

    from benchmarks.pytorch_captioner import SoftAttention

    model = build(args.words, args.grid, args.depth, args.width)
    other = SoftAttention.of(model)
    decoding = config.Decoding(beam=args.beam, max_length=args.steps, unknown=True, min_length=0)
    generate = caption_function(model, decoding)
    features = tf.random.stateless_normal([args.batch, args.grid, args.grid, args.depth], [1, 3])
    regions = torch.from_numpy(features.numpy()).reshape(args.batch, -1, args.depth)
    singles = min(args.batch, 8)  # images that are captioned one by one in a round

    def batched():
        return generate({"features": features})

    def singly():
        return [generate({"features": features[b : b + 1]}) for b in range(singles)]

    def in_pytorch():
        return [other.caption(each, args.beam, args.steps) for each in regions[:singles]]

    sides = {
        f"keras_sat, batch {args.batch}": batched,
        "keras_sat, batch 1": singly,
        "PyTorch, one at a time": in_pytorch,
    }
    images = dict.fromkeys(sides, singles)
    images[f"keras_sat, batch {args.batch}"] = args.batch

    found, _, expected = [side() for side in sides.values()]  # the first calls compile
    for b, (caption, log_p) in enumerate(expected):
        assert found["captions"][b, 0].numpy().tolist() == caption, "they find the same captions"
        assert abs(float(found["log_probs"][b, 0]) / log_p - 1) < 1e-4
    seconds = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - started)
    rates = {name: images[name] / min(seconds[name]) for name in sides}
    for name, rate in rates.items():
        ratio = rate / rates["PyTorch, one at a time"]
        print(f"{name:>24}: {rate:7.1f} images per second, {ratio:5.1f} ×")
    print(json.dumps({"settings": vars(args), "images_a_second": rates}))


if __name__ == "__main__":
    main()
