"""Training on several devices, in several processes or in parts equals training alone."""

import contextlib
import dataclasses
import itertools
import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config
from keras_sat.data.input_pipeline import training_batches
from keras_sat.data.sharding import Part
from keras_sat.runs.loading import load_model
from keras_sat.runs.run import create_run
from keras_sat.training.trainer import Trainer
from keras_sat.utils.errors import UserError
from tests.support.rounding import assert_close

SMALL = {"embedding_size": 12, "state_size": 16}
PLAIN = {"state_dropout": 0.0, "output_dropout": 0.0}
SYSTEMS = {
    "soft": config.Soft(**SMALL, attention_size=8),
    "hard": config.Hard(
        **SMALL,
        attention_size=8,
        samples=2,
        reward_weight=1.0,
        feature_dropout=0.2,
        embedding_dropout=0.2,
    ),
    "show_and_tell": config.ShowAndTell(**SMALL),
    "areas": config.Areas(**SMALL, annotation_size=6, train_stride=2),
    "transformer": config.Areas(**SMALL, areas="transformer", localisation_size=4),
    "proposals": config.Areas(**SMALL, areas="proposals", region_scale=0.1, train_boxes=20),
    "self_attention": config.Transformer(
        width=12, heads=2, encoder_layers=1, decoder_layers=2, hidden_size=16
    ),
    "self_critical": config.Soft(**SMALL, attention_size=8, feature_dropout=0.2),
}
# More than 20 steps, each by a gradient that is a sum over some 50 words.
ROUNDINGS = 1000
KERNELS = 0.2
WAYS = ["two devices", "two workers", "three parts"]
# SYSTEMS="soft hard …" trains others; all of them take twelve minutes. Hard attention covers soft
# attention too.
TRAINED = os.environ.get("SYSTEMS", "hard areas self_critical").split()

# Run in its own process: TensorFlow mixes up the collectives of two strategies in one process.
SHARED = """
import sys
import tensorflow as tf
if sys.argv[1] == "two devices":
    cpu = tf.config.list_physical_devices("CPU")[0]
    half = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [half, half])
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
else:
    strategy = None  # it follows from TF_CONFIG
from keras_sat.runs.run import open_run
from keras_sat.training import trainer
from keras_sat.training.workers import Workers
trainer.EVERY = 5  # updates between TensorBoard's scalars, of which there are to be some
workers = Workers(strategy)
for folder in sys.argv[2:]:
    run = open_run(folder)
    trainer.Trainer(run, run.data(), workers).fit()
"""
TRAIN = """
import sys
from keras_sat.train import main
from keras_sat.training import trainer
trainer.EVERY = 5
main(["--config", sys.argv[1] + "/config.yaml", "--run", sys.argv[1], "--data", sys.argv[2]])
"""


def create(folder, system, data, boxes_data, changed, first, **train):
    """A run of 20 or more steps, whose batches cannot be split evenly.

    Args:
        folder: of the run.
        system: a key of SYSTEMS.
        data: for all systems but `proposals`.
        boxes_data: for `proposals`.
        changed: the fixture.
        first: a trained run, to start from or to learn from.
        **train: settings of training.
    """
    data = boxes_data if system == "proposals" else data
    assert data.statistics["train"]["captions"] % 11
    train = {
        "epochs": 3 if system == "proposals" else 1,
        "optimizer": "sgd",
        "clip_norm": 1.0,
        "average": 0.9,
        "pictures": 0,
        **train,
    }
    settings = {"path": str(data.folder), "batch_size": 11}
    init_from = None
    if system == "self_critical":
        settings["batching"] = "images"
        train["objective"] = "cider"
        init_from = str(first.folder)
    if system == "areas":
        train["teachers"] = (str(first.folder),) * 2
    experiment = dataclasses.replace(
        changed(data=settings, train=train), model=SYSTEMS[system], init_from=init_from
    )
    return create_run(folder, experiment, data)


def two_workers(logs, script, *arguments):
    """Starts the processes of a cluster on this machine, the chief first.

    Their messages are written to 0.log and 1.log.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("localhost", 0))
        cluster = {"worker": [f"localhost:{each.getsockname()[1]}" for each in sockets]}
    processes = []
    for number in range(2):
        task = {"cluster": cluster, "task": {"type": "worker", "index": number}}
        command = [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)]
        with open(logs / f"{number}.log", "w") as log:
            environment = {**os.environ, "TF_CONFIG": json.dumps(task)}
            processes.append(
                subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=log)
            )
    return processes


@pytest.fixture(scope="module")
def boxes(request):
    """The data set of `proposals`, prepared only if that is trained."""
    return request.getfixturevalue("boxes_data") if "proposals" in TRAINED else None


@pytest.fixture(scope="module")
def trained(data, boxes, changed, run, tmp_path_factory):
    """{way: {system: run}}; the way "alone" is training on one device."""
    found = {}
    for way in ("alone", *WAYS):
        folder = tmp_path_factory.mktemp("runs")
        settings = {"accumulate": 3} if way == "three parts" else {}
        found[way] = {
            name: create(folder / name, name, data, boxes, changed, run, **settings)
            for name in TRAINED
        }
        folders = [each.folder for each in found[way].values()]
        if way == "two devices":
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", SHARED, way, *folders], check=True
            )
        elif way == "two workers":
            processes = two_workers(folder, SHARED, way, *folders)
            assert [process.wait() for process in processes] == [0, 0]
        else:
            for each in found[way].values():
                Trainer(each, each.data()).fit()
    return found


def assert_same_weights(one, other):
    """Compares all weights at least on the scale of kernels.

    Biases are still near zero and change as much as kernels. Also, a rounding decides where a draw
    lies on the border of two regions: one of the hundreds of locations that a step of hard
    attention samples may differ. That changes weights of every kind by some 1e-6, and the reward by
    as much as ROUNDINGS allow.
    """
    for a, b in zip(one.weights, other.weights, strict=True):
        assert_close(a, b, ROUNDINGS, terms=max(KERNELS, np.max(np.abs(b))), what=a.name)


@pytest.mark.parametrize("system", TRAINED)
@pytest.mark.parametrize("way", WAYS)
def test_training_together_equals_training_alone(way, system, trained, data):
    """Weights, averages and metrics are the same, with dropout and sampling.

    The baseline of hard attention is one of the weights.
    """
    one, other = (trained[each][system] for each in ("alone", way))
    for which in ("last", "best"):
        assert_same_weights(load_model(one, which), load_model(other, which))
    lines = [(run.folder / "metrics.jsonl").read_text().splitlines() for run in (one, other)]
    for a, b in zip(*([json.loads(line) for line in each] for each in lines)):
        for name in ("loss", "word_loss", "attention_entropy", "val_loss", "val_word_loss"):
            assert_close(a[name], b[name], ROUNDINGS, what=name)
        # Some words of the untrained captioner are equally likely: a rounding may change the order.
        assert abs(a["accuracy"] - b["accuracy"]) < 3 / data.statistics["train"]["tokens"]
    assert a["step"] == b["step"] >= 20


def test_workers_with_their_own_files_equal_one_device(files_data, changed, tmp_path):
    """They train as one device does by all rows at once.

    Each worker splits its rows into two parts. One worker has fewer batches than the other.
    """
    data = {"path": str(files_data.folder), "batch_size": 22, "sharding": "files"}
    train = {"epochs": 1, "optimizer": "sgd"}
    experiment = dataclasses.replace(
        changed(data=data, train=train), model=config.Soft(**SMALL, attention_size=8, **PLAIN)
    )
    in_parts = dataclasses.replace(
        experiment, train=dataclasses.replace(experiment.train, accumulate=2)
    )
    shared = create_run(tmp_path / "shared", in_parts, files_data)
    alone = create_run(tmp_path / "alone", experiment, files_data)
    processes = two_workers(tmp_path, SHARED, "two workers", shared.folder)
    assert [process.wait() for process in processes] == [0, 0]

    trainer = Trainer(alone, files_data)
    settings = files_data, experiment.data, trainer.vocabulary, experiment.seed
    parts = [
        list(training_batches(*settings, epoch=0, shares=2, part=Part(index, 2)))
        for index in range(2)
    ]
    assert len(parts[0]) > len(parts[1])
    for batches in itertools.zip_longest(*parts):
        batches = [batch for batch in batches if batch]
        length = max(batch["captions"].shape[-1] for batch in batches)
        for batch in batches:
            batch["captions"] = tf.pad(
                batch["captions"], [[0, 0], [0, 0], [0, length - batch["captions"].shape[-1]]]
            )
        trainer.model.train_step(
            {name: tf.concat([batch[name] for batch in batches], 0) for name in batches[0]}
        )
    assert_same_weights(load_model(shared, "last"), trainer.model)

    longer = dataclasses.replace(in_parts, train=dataclasses.replace(in_parts.train, epochs=2))
    with pytest.raises(UserError, match="to 2 workers, and now there are 1; resume with 2"):
        Trainer(dataclasses.replace(shared, experiment=longer), files_data).fit()


def test_training_resumes_after_a_worker_was_lost(trained, data, boxes, changed, run, tmp_path):
    """One line says what happened. Started again, training ends with the same weights."""
    run = create(tmp_path / "run", TRAINED[0], data, boxes, changed, run, checkpoint_minutes=0.0)
    chief, other = two_workers(tmp_path, TRAIN, run.folder, data.folder)
    while not (run.folder / "checkpoints" / "last" / "checkpoint").exists():
        assert chief.poll() is None and other.poll() is None
        time.sleep(0.01)
    other.kill()
    assert chief.wait(120) == 2
    (line,) = (
        line for line in (tmp_path / "0.log").read_text().splitlines() if line.startswith("error: ")
    )
    assert line.startswith(f"error: {run.folder}: another worker was lost; start all of them again")
    processes = two_workers(tmp_path, TRAIN, run.folder, data.folder)
    assert [process.wait() for process in processes] == [0, 0]
    assert_same_weights(load_model(trained["alone"][TRAINED[0]], "last"), load_model(run, "last"))
