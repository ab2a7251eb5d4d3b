"""Trainings that are killed again and again end as one that was left alone."""

import dataclasses
import json
import random
import signal
import time

import numpy as np
import tensorflow as tf

from keras_sat import config
from keras_sat.runs.checkpoint_files import newest
from keras_sat.training.train import train
from tests.soak import children
from tests.soak.children import Child

_SIZES = {"embedding_size": 12, "state_size": 16}
_HARD = {"attention_size": 8, "samples": 2, "reward_weight": 1.0}
SYSTEMS = {
    "soft": config.Soft(**_SIZES, attention_size=8, feature_dropout=0.2),
    "hard": config.Hard(**_SIZES, **_HARD),
    "areas": config.Areas(**_SIZES, annotation_size=6, train_stride=2),
    "spatial transformers": config.Areas(**_SIZES, areas="transformer", localisation_size=4),
    "self-critical": config.Soft(**_SIZES, attention_size=8, feature_dropout=0.2),
}
if "transformer" in config.SYSTEMS:
    SYSTEMS["transformer"] = config.SYSTEMS["transformer"]()
# What a run may be interrupted by: (signal, phase). Within a phase the moment is random.
MOMENTS = (
    (signal.SIGKILL, children.TRAINING),
    (signal.SIGKILL, children.VALIDATING),
    (signal.SIGKILL, children.WRITING_BEST),
    (signal.SIGKILL, children.WRITING_LAST),
    (signal.SIGINT, children.TRAINING),
    (signal.SIGTERM, children.VALIDATING),
)
_WRITING = 0.05  # seconds that writing a checkpoint takes, about


def experiment(system, data, base):
    """A training of few steps, each of which is saved.

    Args:
        system: a key of SYSTEMS.
        data: the folder of a data set with the features of flipped images.
        base: a trained run of `soft`, which self-critical training starts from.
    """
    settings = {"path": str(data), "batch_size": 12, "mirror": True}
    train = {"epochs": 3, "checkpoint_minutes": 0.0, "average": 0.9, "select_by": "loss"}
    init_from = None
    if system == "self-critical":
        settings |= {"batching": "images"}
        train |= {"objective": "cider", "select_by": "cider"}
        init_from = str(base)
    return config.Experiment(
        init_from=init_from,
        model=SYSTEMS[system],
        data=config.Data(**settings),
        train=config.Training(**train),
    )


def undisturbed(settings, folder):
    """Trains once. Returns: the seconds that it took, without its start."""
    child = Child(lambda: train(settings, folder), folder.with_suffix(".log"))
    begun = child.phase_began(children.TRAINING)
    assert child.wait() == 0, folder.with_suffix(".log").read_text()[-2000:]
    return time.monotonic() - begun


def killed(settings, folder, kills, seconds, seed):
    """Trains until the end while it is killed again and again.

    Args:
        settings: the experiment.
        folder: of the run.
        kills: how many kills at most; they come in the order of MOMENTS.
        seconds: that training takes if it is left alone.
        seed: of the moments.

    Returns:
        How many kills hit a running process.

    Raises:
        AssertionError: a resumed training ended with an error.
    """
    log = folder.with_suffix(".log")
    draws = random.Random(f"{seed} {folder.name}")
    hits = 0
    while True:
        child = Child(lambda: train(settings, folder), log)
        number, phase = MOMENTS[(seed + hits) % len(MOMENTS)]
        longest = seconds if phase == children.TRAINING else _WRITING
        if hits < kills and child.signal(number, phase, draws.random() * longest):
            status = child.wait()
            hits += status != 0
            assert status in (0, -number, 130), log.read_text()[-2000:]
        else:
            status = child.wait()
            assert status == 0, log.read_text()[-2000:]
        if status == 0:
            return hits


def differences(one, other):
    """What differs between two runs' folders: weights, optimiser, best and metrics; a list."""
    found = []
    for which in ("last", "best"):
        values = _values(one, which)
        others = _values(other, which)
        if values.keys() != others.keys():
            found.append(f"{which}: other keys")
            continue
        found += [
            f"{which}: {name}" for name in values if not np.array_equal(values[name], others[name])
        ]
    if _metrics(one) != _metrics(other):
        found.append("metrics.jsonl")
    return found


def _values(folder, which):
    """{key: value} of a checkpoint: everything but the clock and the checkpoint's number."""
    reader = tf.train.load_checkpoint(str(newest(folder / "checkpoints" / which)))
    values = {}
    for name in reader.get_variable_to_shape_map():
        if name.startswith("progress"):
            progress = json.loads(reader.get_tensor(name))
            del progress["seconds"], progress["commit"]  # the code may change during a long soak
            values[name] = str(progress)
        elif not name.startswith(("save_counter", "_CHECKPOINTABLE")):
            values[name] = reader.get_tensor(name)
    return values


def _metrics(folder):
    lines = []
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        lines.append({name: value for name, value in values.items() if "seconds" not in name})
    return lines


def case(system, folder, data, base, kills, seed):
    """Kills a system's training as often as asked for, in as many runs as that takes.

    Returns:
        {"tried": kills, "runs": runs, "lost": what differs from an undisturbed run}.
    """
    settings = experiment(system, data, base)
    alone = folder / "undisturbed"
    seconds = undisturbed(settings, alone)
    tried = 0
    runs = 0
    lost = []
    while tried < kills:
        run = folder / f"killed-{runs}"
        tried += killed(settings, run, kills - tried, seconds, seed + tried)
        runs += 1
        lost += differences(alone, run)
    return {"tried": tried, "runs": runs, "lost": lost}


def base_run(data, folder):
    """A trained run of `soft` to start from."""
    settings = experiment("soft", data, None)
    settings = dataclasses.replace(settings, train=dataclasses.replace(settings.train, epochs=1))
    undisturbed(settings, folder)
    return folder
