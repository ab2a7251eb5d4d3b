"""What does an epoch cost beside its training steps: reading the batches, scoring the validation captions, starting up?

    python -m benchmarks.epoch

On a data set that the pipeline prepares for it: scenes, with ResNet50's 14×14×1024 feature maps (untrained: weights do not
matter here). Reading is compared with what training steps of soft attention, all widths 512, batch 32, need; scoring with
Flickr8k's epoch of 30,000 captions at that rate; the start of `keras_sat.train`, to its first step, with `import tensorflow`
alone.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EPOCH, SCORED = 30_000, 1_000  # Flickr8k's captions in training, images in validation


def prepared(folder, images):
    from keras_sat import config
    from keras_sat.data.prepared import open_prepared
    from pipeline.preparation.prepare import prepare

    encoder = {"name": "ResNet50", "layer": "conv4_block6_out", "weights": "none"}
    values = {"source": f"train={images},val=8,test=8", "encoder": encoder, "min_count": 1}
    prepare(config.from_values({"prepare": values}).prepare, folder)
    return open_prepared(folder)


def reading_and_training(data, batch, steps):
    """Captions a second of the batches alone, and of as many training steps."""
    import tensorflow as tf

    from benchmarks.training import build
    from keras_sat import config
    from keras_sat.data import input_pipeline
    from keras_sat.text.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(data.folder / "vocabulary.txt")
    settings = config.Data(batch_size=batch)

    def batches(epoch):
        return input_pipeline.training_batches(data, settings, vocabulary, 1, epoch)

    rates = []
    for epoch in range(3):
        started = time.perf_counter()
        captions = sum(len(each["row"]) for each in batches(epoch))
        rates.append(captions / (time.perf_counter() - started))
    grid, _, depth = data.input_shapes["features"]
    model = build(2633, grid, depth, 512)
    step = tf.function(model.train_step, [batches(0).element_spec], autograph=False)
    chosen = list(batches(0).take(steps + 1))
    step(chosen[0])["loss"].numpy()
    started = time.perf_counter()
    for each in chosen[1:]:
        step(each)["loss"].numpy()
    return max(rates[1:]), sum(len(each["row"]) for each in chosen[1:]) / (
        time.perf_counter() - started
    )


def scoring():
    """Seconds for BLEU and CIDEr of the captions of 1,000 images beside five references each, as validation has them."""
    from keras_sat.data import scenes
    from keras_sat.evaluation.scorers import score

    texts = [scenes.draw(scenes.scene_id("val", n), seed=1).captions for n in range(SCORED)]
    captions, references = (
        {str(n): each[0] for n, each in enumerate(texts)},
        {str(n): e for n, e in enumerate(texts)},
    )
    started = time.perf_counter()
    score(captions, references, ["bleu", "cider"], tokenise=False)
    return time.perf_counter() - started


def starting(data, folder):
    """Seconds until TensorFlow is imported, and until `keras_sat.train` has made its first step and saved it."""
    seconds = []
    for _ in range(2):  # the first warms the disk's cache
        started = time.perf_counter()
        subprocess.run([sys.executable, "-W", "ignore", "-c", "import tensorflow"], check=True)
        imported, started = time.perf_counter() - started, time.perf_counter()
        run = folder / f"run{len(seconds)}"
        options = [
            "--model",
            "soft",
            "--data",
            data.folder,
            "--run",
            run,
            "--set",
            "train.checkpoint_minutes=0",
        ]
        child = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "keras_sat.train", *map(str, options)]
        )
        while not (run / "checkpoints" / "last" / "checkpoint").exists():
            if child.poll() is not None:
                sys.exit("keras_sat.train ended before its first step")
            time.sleep(0.01)
        seconds.append((imported, time.perf_counter() - started))
        child.kill()
        child.wait()
    return seconds[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in {"images": 400, "batch": 32, "steps": 12}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = prepared(Path(folder) / "data", args.images)
        imported, started = starting(data, Path(folder))
        read, learned = reading_and_training(data, args.batch, args.steps)
    scored = scoring()
    share, later = scored * learned / EPOCH, started - imported
    print(f"reading {read:.0f} captions a second, training {learned:.1f}: {read / learned:.1f} ×")
    print(
        f"scoring {SCORED} captions {scored:.2f} s, an epoch {EPOCH / learned:.0f} s: {share:.1%}"
    )
    print(f"first step after {started:.1f} s, import tensorflow {imported:.1f} s: + {later:.1f} s")
    found = {
        "captions_a_second": {"reading": read, "training": learned},
        "scoring_share": share,
        "start_seconds": later,
    }
    print(json.dumps({"settings": vars(args), **found}))


if __name__ == "__main__":
    main()
