"""What is not finite is never saved, never the best, and is named by its batch and its images."""

import shutil
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config
from keras_sat.config import Training
from keras_sat.data import examples
from keras_sat.data.prepared import open_prepared
from keras_sat.data.reading import read_records, reading
from keras_sat.models import build_captioner
from keras_sat.runs.checkpoints import Progress
from keras_sat.runs.loading import describe, load_model
from keras_sat.training import resuming
from keras_sat.training.divergence import without_likelihood
from keras_sat.training.optimizers import build_optimizer
from keras_sat.training.train import train
from keras_sat.training.trainer import Trainer
from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import sha256_file
from tests.support.manifests import rewrite_manifest


def batch(features, first_row=0):
    rows = len(features)
    return {
        "features": tf.constant(features, tf.float32),
        "captions": tf.constant([[[4, 5, 2]]] * rows),
        "row": first_row + tf.range(rows),
    }


def small_model(optimizer):
    sizes = config.Soft(embedding_size=3, state_size=4, attention_size=2)
    model = build_captioner(sizes, 7, {"features": (2, 2, 3)}, seed=1)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, seed=1)
    return model


def test_an_infinite_update_is_noticed_though_the_loss_was_finite():
    """Its loss is that of the weights before."""
    optimizer = keras.optimizers.SGD(0.01)
    model = small_model(optimizer)
    inputs = batch(np.ones([2, 2, 2, 3]))
    model.train_step(inputs)
    assert model.training_step.diverged == 0
    optimizer.learning_rate.assign(3e38)
    results = model.train_step(inputs)
    assert np.isfinite(results["loss"]) and model.training_step.diverged == 1
    optimizer.learning_rate.assign(0.0)
    model.train_step(inputs)
    assert model.training_step.diverged == 2, "updates since, that one included"


def test_a_loss_that_is_not_finite_is_noticed_though_the_update_was_skipped():
    """As loss scaling does."""
    optimizer = keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(0.01))
    model = small_model(optimizer)
    features = np.ones([2, 2, 2, 3])
    features[1] = np.nan
    model.train_step(batch(features))
    assert np.isfinite(model.get_weights()[0]).all() and model.training_step.diverged == 1


def test_divergence_names_the_batch_and_resumes_with_a_lower_rate(run, changed, tmp_path):
    """Nothing of it is saved, and the run records that its rate changed."""
    folder = shutil.copytree(run.folder, tmp_path / "run")
    before = load_model(run, "last").get_weights()
    with pytest.raises(UserError) as error:
        train(changed(train={"epochs": 3, "learning_rate": 1e38, "clip_norm": 0.0}), folder)
    steps = Trainer(run, run.data()).steps_per_epoch
    for part in (
        f"in epoch 3, batch 1 (update {2 * steps + 1})",
        "after images train-",
        "learning_rate (now 1e+38) or train.clip_norm (now off)",
        "resumes in epoch 3 after 0 batches",
    ):
        assert part in str(error.value), error.value
    resumed = train(changed(train={"epochs": 3, "learning_rate": 0.0}), folder)
    for a, b in zip(load_model(resumed, "last").get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)  # with a rate of zero: those of the end of epoch 2
    shutil.rmtree(folder / "checkpoints" / "best")
    shutil.copytree(folder / "checkpoints" / "last", folder / "checkpoints" / "best")
    rate = run.experiment.train.learning_rate
    assert describe(resumed)["changes"] == [
        {"epoch": 3, "batch": 0, "settings": {"learning_rate": [rate, 0.0]}}
    ]


def adopted(run, progress, stored, **settings):
    """The learning rate with which a run continues whose checkpoint holds the rate `stored`."""
    training = Training(**settings)
    optimizer = build_optimizer(training, 10)
    optimizer.learning_rate.assign(stored)
    run.experiment = types.SimpleNamespace(train=training)
    resuming.adopt_settings(run, progress, optimizer, 10)
    return optimizer.learning_rate.numpy()


def test_a_changed_rate_counts_under_every_schedule(tmp_path):
    run = types.SimpleNamespace(folder=tmp_path)
    known = {"learning_rate": 0.1, "clip_norm": 5.0, "accumulate": 1}
    for schedule, stored, expected in (("constant", 0.1, 0.02), ("plateau", 0.05, 0.01)):
        progress = Progress(settings=dict(known))
        rate = adopted(run, progress, stored, learning_rate=0.02, schedule=schedule)
        np.testing.assert_allclose(rate, expected, rtol=1e-6)
        assert progress.changes[0]["settings"] == {"learning_rate": [0.1, 0.02]}
        unchanged = adopted(run, progress, stored, learning_rate=0.02, schedule=schedule)
        assert schedule == "constant" or unchanged == np.float32(stored), "applied once"
        assert len(progress.changes) == 1


def test_a_checkpoint_that_records_no_rate_takes_that_of_its_first_epoch(tmp_path):
    run = types.SimpleNamespace(folder=tmp_path)
    first = float(np.float32(0.1))
    (tmp_path / "metrics.jsonl").write_text(f'{{"learning_rate": {first}}}\n')
    settings = {"schedule": "plateau", "learning_rate": 0.1}
    assert adopted(run, Progress(), 0.05, **settings) == np.float32(0.05), "bit for bit"
    settings["learning_rate"] = 0.02
    np.testing.assert_allclose(adopted(run, Progress(), 0.05, **settings), 0.01, rtol=1e-6)


def poisoned(data, split, folder):
    """A copy of a data set where one record of a split holds NaN: (data, the image's id)."""
    folder = shutil.copytree(data.folder, folder)
    records = list(read_records(data, split))
    records[3].features[-1][5] = np.nan  # the scale of a region
    (path,) = [Path(path) for path in open_prepared(folder).shards(split)]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(examples.serialize(record))
    (shard,) = data.manifest["splits"][split]
    changed = shard | {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    rewrite_manifest(folder, splits=data.manifest["splits"] | {split: [changed]})
    return open_prepared(folder), records[3].source_id


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_record_that_is_not_finite_is_named_and_not_the_rate(split, data, changed, tmp_path):
    data, image = poisoned(data, split, tmp_path / "data")
    experiment = changed(data={"path": str(data.folder)}, train={"epochs": 1})
    with pytest.raises(UserError) as error:
        train(experiment, tmp_path / "run")
    for part in (f"{split}-", f"record 3, image {image}", "its features", "prepare the data set"):
        assert part in str(error.value), error.value
    assert "learning_rate" not in str(error.value)
    assert not (tmp_path / "run" / "checkpoints" / "best").exists()


def test_reading_keeps_other_errors(data):
    with pytest.raises(tf.errors.InvalidArgumentError), reading(data, "val"):
        tf.reshape([1, 2], [3])


def test_a_validation_that_is_not_finite_is_no_gain():
    trainer = types.SimpleNamespace(progress=Progress(), config=Training(select_by="loss"))
    gains = [Trainer._record_score(trainer, loss) for loss in (np.nan, 3.0, 2.0, np.nan, np.inf)]
    assert gains == [False, True, True, False, False]
    assert trainer.progress.best == -2.0
    assert Trainer._record_score(trainer, 3.0) is False and trainer.progress.waited == 3


def test_images_without_a_finite_likelihood_are_named():
    model = small_model(keras.optimizers.SGD(0.01))
    features = np.ones([3, 2, 2, 3])
    features[1] = np.nan
    named = batch(features) | {"source_id": tf.constant(["a", "b", "c"])}
    assert without_likelihood(model, [named, named]) == ["b"]
