"""Checkpoints that were written before the layout of the code changed.

The names of tracked attributes are their format. They were written by commit 60bd362, after one
update of each system.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config
from keras_sat.models import build_captioner
from keras_sat.runs.checkpoints import Checkpoints, Progress, read_progress
from tests.support.rounding import assert_close

FOLDER = Path(__file__).parent / "old_checkpoints"
SIZES = {"embedding_size": 3, "state_size": 4}
SYSTEMS = {
    "soft": config.Soft(**SIZES, attention_size=2, annotation_size=3),
    "hard": config.Hard(**SIZES, attention_size=2, gate="vector"),
    "show_and_tell": config.ShowAndTell(**SIZES),
    "areas": config.Areas(**SIZES, areas="transformer", localisation_size=2),
}
INPUTS = {
    "features": tf.random.stateless_normal([2, 2, 2, 3], [1, 2]),
    "captions": tf.constant([[[4, 5, 2]], [[6, 2, 0]]]),
    "row": tf.range(2),
}


def build(name):
    model = build_captioner(SYSTEMS[name], 7, {"features": (2, 2, 3)}, seed=1)
    optimizer = keras.optimizers.Adam(0.01, use_ema=True)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, seed=1)
    return model


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_old_checkpoint_is_read_to_its_last_value(name):
    model = build(name)
    progress = Progress()
    checkpoints = Checkpoints(FOLDER / name, model, progress)
    path = tf.train.latest_checkpoint(str(FOLDER / name / "last"))
    checkpoints._last.checkpoint.restore(path).assert_consumed()
    assert (progress.epoch, progress.batch, progress.vocabulary) == (1, 2, "aaaa")
    assert model.training_step.optimizer.iterations == 1
    log_probs, _ = model(INPUTS)
    expected = np.load(FOLDER / name / "log_probs.npy")
    assert_close(np.exp(log_probs), np.exp(expected), roundings=100)


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_old_best_checkpoint_holds_the_model_and_the_progress_alone(name):
    model = build(name)
    path = tf.train.latest_checkpoint(str(FOLDER / name / "best"))
    tf.train.Checkpoint(model=model).restore(
        path
    ).expect_partial().assert_existing_objects_matched()
    assert read_progress(path).best == 0.5
    saved = {key for key, _ in tf.train.list_variables(path) if key.startswith("model/")}
    assert len(saved) == len(model.weights)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_checkpoint_has_the_keys_it_always_had(name, tmp_path):
    """Compiling makes neither the optimizer nor the meters children of the model."""
    model = build(name)
    model.train_step(INPUTS)
    checkpoints = Checkpoints(tmp_path, model, Progress())
    checkpoints.save_last()
    checkpoints.save_best()
    for which in ("last", "best"):
        before = tf.train.latest_checkpoint(str(FOLDER / name / which))
        now = tf.train.latest_checkpoint(str(tmp_path / which))
        assert tf.train.list_variables(now) == tf.train.list_variables(before)
