"""What does an epoch cost beside its training steps: reading, scoring, starting?

    python -m benchmarks.epoch

Measured on a data set that the pipeline prepares for it: scenes, with ResNet50's 14×14×1024
feature maps (untrained: weights do not matter here). Reading batches is compared with training
steps of soft attention, all widths 512, batch 32. Scoring the validation captions is compared with
Flickr8k's epoch of 30,000 captions at that rate. The start of `keras_sat.train`, until its first
step, is compared with `import tensorflow` alone.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tensorflow as tf

from benchmarks.training import build
from keras_sat import config
from keras_sat.data import input_pipeline, scenes
from keras_sat.data.prepared import open_prepared
from keras_sat.evaluation.scorers import score
from keras_sat.text.vocabulary import Vocabulary
from pipeline.preparation.prepare import prepare

EPOCH = 30_000  # Flickr8k's captions in training
SCORED = 1_000  # Flickr8k's images in validation
PYTHON = (sys.executable, "-W", "ignore")


def prepared(folder, images):
    """Prepares the data set; returns its `PreparedData`."""
    encoder = {"name": "ResNet50", "layer": "conv4_block6_out", "weights": "none"}
    values = {"source": f"train={images},val=8,test=8", "encoder": encoder, "min_count": 1}
    prepare(config.from_values({"prepare": values}).prepare, folder)
    return open_prepared(folder)


def reading_and_training(data, batch, steps):
    """Captions per second of the batches alone, and of as many training steps."""
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
    first, *others = batches(0).take(steps + 1)
    step(first)["loss"].numpy()  # compiles
    started = time.perf_counter()
    for each in others:
        step(each)["loss"].numpy()
    seconds = time.perf_counter() - started
    return max(rates[1:]), sum(len(each["row"]) for each in others) / seconds


def scoring():
    """Seconds of validation's scores: BLEU and CIDEr of 1,000 captions, five references each."""
    captions = {}
    references = {}
    for number in range(SCORED):
        texts = scenes.draw(scenes.scene_id("val", number), seed=1).captions
        captions[str(number)] = texts[0]
        references[str(number)] = texts
    started = time.perf_counter()
    score(captions, references, ["bleu", "cider"], tokenise=False)
    return time.perf_counter() - started


def starting(data, folder):
    """Measures starts.

    Returns:
        Seconds until TensorFlow is imported, and until `keras_sat.train` has made its first step
        and saved it.
    """
    for name in ("first", "second"):  # the first one warms the disk's cache
        started = time.perf_counter()
        subprocess.run([*PYTHON, "-c", "import tensorflow"], check=True)
        imported = time.perf_counter() - started
        trained = _seconds_to_first_step(data, folder / name)
    return imported, trained


def _seconds_to_first_step(data, run):
    options = ["--model", "soft", "--data", str(data.folder), "--run", str(run)]
    options += ["--set", "train.checkpoint_minutes=0"]
    started = time.perf_counter()
    child = subprocess.Popen([*PYTHON, "-m", "keras_sat.train", *options])
    while not (run / "checkpoints" / "last" / "checkpoint").exists():
        if child.poll() is not None:
            sys.exit("keras_sat.train ended before its first step")
        time.sleep(0.01)
    seconds = time.perf_counter() - started
    child.kill()
    child.wait()
    return seconds


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
    epoch = EPOCH / learned
    share = scored / epoch
    later = started - imported
    print(f"reading {read:.0f} captions per second, training {learned:.1f}: {read / learned:.1f} ×")
    print(f"scoring {SCORED} captions {scored:.2f} s, an epoch {epoch:.0f} s: {share:.1%}")
    print(f"first step after {started:.1f} s, import tensorflow {imported:.1f} s: + {later:.1f} s")
    found = {
        "captions_a_second": {"reading": read, "training": learned},
        "scoring_share": share,
        "start_seconds": later,
    }
    print(json.dumps({"settings": vars(args), **found}))


if __name__ == "__main__":
    main()
