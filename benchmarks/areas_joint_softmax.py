"""What does the factorised joint softmax of Areas of Attention save against the one written out?

    python -m benchmarks.areas_joint_softmax --batch 50 --each 5

One training step (forward, backward, update) of the full model: 14×14 regions, 6,325 words, 15 steps, all widths 512, on 50
captions: of 10 images with five each, as `data.batching: images` takes them, or (--each 1) of 50 images. Each form runs in a
process of its own, from the same weights on the same batch, and must give the same loss. Memory is the step's own: the peak
of the process less what it held before.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

FORMS = ("factorised", "written out")


def build(form, words, grid, width):
    import keras
    import tensorflow as tf

    from keras_sat import config
    from keras_sat.models.areas import AreasCaptioner

    class WrittenOut(AreasCaptioner):
        """p(w, r|h) as a tensor a step, as one would write equation 2 down."""

        def _recur(self, inputs, state, annotations, constants=None):
            hidden = self.gru(inputs["words"], state["pooled"], state["hidden"])
            b = self.interaction.region_scores(hidden, annotations)
            a = self.interaction.word_scores(hidden, annotations)
            scores = (
                a[..., None]
                + b[:, :, None]
                + tf.linalg.matrix_transpose(annotations["word_region"]["scores"])[:, None]
            )  # [B, N, V, L]
            shape = tf.shape(scores)
            joint = tf.reshape(tf.nn.softmax(tf.reshape(scores, [shape[0], shape[1], -1])), shape)
            read = {
                "log_probs": tf.math.log(tf.reduce_sum(joint, 3) + 1e-30),
                "attention": tf.reduce_sum(joint, 2),
                "a": a,
            }
            return read, {"hidden": hidden, "pooled": self._pool(read["attention"], annotations)}

        def _distributions(self, read, annotations):
            return read["log_probs"], read["attention"]

    settings = config.Areas(embedding_size=width, state_size=width, state_dropout=0.0)
    model = (AreasCaptioner if form == "factorised" else WrittenOut)(
        settings, words, {"features": (grid, grid, width)}
    )
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def measure(form, batch, each, words, grid, width, steps):
    """Times in seconds, memory in bytes."""
    import tensorflow as tf

    model, images = build(form, words, grid, width), batch // each
    inputs = {
        "features": tf.random.stateless_normal([images, grid, grid, width], [1, 2]),
        "captions": tf.random.stateless_uniform([images, each, steps], [3, 4], 3, words, tf.int32),
        "row": tf.range(images),
    }
    model({name: value[:1] for name, value in inputs.items()})
    for index, weight in enumerate(model.trainable_variables):
        # Small: with large ones the recurrence is chaotic, and the rounding of the form written out shows in the loss.
        weight.assign(0.02 * tf.random.stateless_normal(weight.shape, [index, 1]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = tf.function(model.train_step, autograph=False)
    losses, seconds = [], []
    for _ in range(4):
        started = time.perf_counter()
        model.reset_metrics()
        losses.append(float(step(inputs)["loss"]))
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"losses": losses, "seconds": min(seconds[1:]), "bytes": (peak - before) * 1024}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sizes = {"batch": 50, "each": 5, "words": 6325, "grid": 14, "width": 512, "steps": 15}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    args = vars(parser.parse_args())
    form = args.pop("form")
    if form:
        print(json.dumps(measure(form, **args)))
        return
    results = {}
    for form in FORMS:
        options = [f"--{name}={value}" for name, value in args.items()]
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "benchmarks.areas_joint_softmax",
            f"--form={form}",
            *options,
        ]
        child = subprocess.run(command, capture_output=True, text=True)
        if child.returncode:
            print(
                f"{form}: ended with {child.returncode} ({child.stderr.strip().splitlines()[-1][:200]})"
            )
            continue
        results[form] = found = json.loads(child.stdout.splitlines()[-1])
        print(
            f"{form:>12}: {found['seconds']:.2f} s a step, {found['bytes'] / 1e9:.2f} GB, loss {found['losses'][0]:.5f}"
        )
    if len(results) == 2:
        fast, slow = (results[form] for form in FORMS)
        assert abs(fast["losses"][0] / slow["losses"][0] - 1) < 1e-5, "they compute the same"
        print(
            f"{'ratio':>12}: {slow['seconds'] / fast['seconds']:.1f} in time, {slow['bytes'] / fast['bytes']:.1f} in memory"
        )
    print(json.dumps({"sizes": args, **results}))


if __name__ == "__main__":
    main()
