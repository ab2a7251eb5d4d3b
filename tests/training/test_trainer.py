"""The training loop: what it writes, and when it ends.

That a killed run ends as an undisturbed one is tested by tests/test_soak.py.
"""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from keras_sat import config
from keras_sat.data.prepared import open_prepared
from keras_sat.runs.loading import describe, load_model, load_vocabulary
from keras_sat.runs.run import create_run, open_run
from keras_sat.training.optimizers import averaged, build_optimizer, learning_rate
from keras_sat.training.profile import Profile
from keras_sat.training.tensorboard import TensorBoard
from keras_sat.training.train import train
from keras_sat.training.trainer import Trainer
from keras_sat.training.validation import Validation
from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import SUMS
from pipeline.preparation.prepare import prepare
from tests.support.manifests import rewrite_manifest
from tests.support.rounding import assert_close
from tests.support.settings import small_prepare


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_holds_its_files_and_metrics(run, data):
    files = ["config.yaml", "vocabulary.txt", "encoder.keras", "metrics.jsonl"]
    for name in (*files, "checkpoints/best", "checkpoints/last"):
        assert (run.folder / name).exists(), name
    assert open_run(run.folder).experiment == run.experiment
    lines = metrics(run.folder)
    assert [line["epoch"] for line in lines] == [1, 2]
    assert lines[1]["loss"] < lines[0]["loss"]
    assert {"accuracy", "filled", "learning_rate"} <= set(lines[0])
    assert {"val_bleu4", "val_cider", "val_word_loss"} <= set(lines[0])


def test_tensorboard_shows_scalars_captions_and_attention(run):
    logs = run.folder / "logs"
    lines = metrics(run.folder)
    tags = {}
    for part in ("training", "validation"):
        events = EventAccumulator(str(logs / part)).Reload()
        tags[part] = set(events.Tags()["tensors"])
        # One tag for both, so that one chart shows both; over updates, not epochs.
        losses = [
            (each.step, tf.make_ndarray(each.tensor_proto)) for each in events.Tensors("loss")
        ]
        name = {"training": "loss", "validation": "val_loss"}[part]
        assert [step for step, _ in losses] == [line["step"] for line in lines]
        assert_close([loss for _, loss in losses], [line[name] for line in lines], roundings=20)
    assert {"cider", "captions"} <= tags["validation"] and "learning_rate" in tags["training"]
    pictures = [tag for tag in tags["validation"] if tag.startswith("attention/")]
    assert len(pictures) == run.experiment.train.pictures


def test_tensorboard_shows_the_settings(run):
    events = EventAccumulator(str(run.folder / "logs")).Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    info = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert info.hparams["model.state_size"].number_value == run.experiment.model.state_size
    assert info.hparams["model.name"].string_value == "soft"


def test_steps_are_means_since_the_last_ones(tmp_path, experiment):
    """Weighted by what they gathered, they add up to the mean of the epoch."""
    board = TensorBoard(tmp_path / "logs", experiment, [])
    meter = tf.keras.metrics.Mean("loss")
    for step, values in enumerate([(1.0, 2.0), (4.0,), (), (3.0, 5.0, 7.0)]):
        for value in values:
            meter.update_state(value)
        board.write_steps(step, [meter])
    board.write_epoch({"step": 4, "loss": float(meter.result())}, [])
    meter.reset_state()
    meter.update_state(8.0)
    board.write_steps(5, [meter])
    board.write_epoch({"step": 5, "loss": 8.0}, [])
    events = EventAccumulator(str(tmp_path / "logs" / "training")).Reload()
    found = {each.step: tf.make_ndarray(each.tensor_proto) for each in events.Tensors("steps/loss")}
    assert found == {0: 1.5, 1: 4.0, 3: 5.0, 5: 8.0}


def test_steps_of_a_resumed_epoch_leave_out_what_was_before(tmp_path, experiment):
    board = TensorBoard(tmp_path / "logs", experiment, [])
    meter = tf.keras.metrics.Mean("loss")
    meter.update_state(100.0)  # restored from a checkpoint
    board.leave_out([meter])
    meter.update_state(2.0)
    board.write_steps(7, [meter])
    board.write_epoch({"step": 7}, [])
    events = EventAccumulator(str(tmp_path / "logs" / "training")).Reload()
    [point] = events.Tensors("steps/loss")
    assert (point.step, tf.make_ndarray(point.tensor_proto)) == (7, 2.0)


def test_the_profiler_records_the_updates_that_are_asked_for(tmp_path):
    profile = Profile(tmp_path, (2, 3))
    for update in range(1, 5):
        profile.before_update()
        assert profile._running == (update in (2, 3))
        profile.after_update()
    assert list(tmp_path.rglob("*.xplane.pb"))


@pytest.mark.parametrize("when", ["at the last batch", "in validation"])
def test_a_run_stopped_at_the_end_of_an_epoch_resumes(when, data, changed, tmp_path, monkeypatch):
    """The checkpoint may be after the epoch's last batch and before its validation.

    An incomplete line of metrics is harmless.
    """
    run = create_run(tmp_path / "run", changed(train={"checkpoint_minutes": 0.0}), data)
    trainer = Trainer(run, data)
    if when == "in validation":

        def interrupt(self):
            raise KeyboardInterrupt

        monkeypatch.setattr(Validation, "__call__", interrupt)
    else:
        save = trainer.checkpoints.save_last

        def save_and_stop():
            save()
            trainer._interrupted = trainer.progress.batch == trainer.steps_per_epoch

        monkeypatch.setattr(trainer.checkpoints, "save_last", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert (trainer.progress.epoch, trainer.progress.batch) == (0, trainer.steps_per_epoch)
    monkeypatch.undo()
    (run.folder / "metrics.jsonl").write_text('{"epoch": 1, "los')
    trainer = Trainer(run, data)
    assert trainer.fit().epoch == 2
    assert trainer._train_step.experimental_get_tracing_count() == 1, (
        "one graph for batches of every size"
    )
    assert [line["epoch"] for line in metrics(run.folder)] == [1, 2]


def test_a_finished_run_is_unchanged_and_may_be_extended(run, changed, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "run")
    before = (folder / "metrics.jsonl").read_text()
    train(run.experiment, folder)
    assert (folder / "metrics.jsonl").read_text() == before
    with pytest.raises(UserError, match="cosine"):
        cosine = train(changed(train={"schedule": "cosine", "epochs": 1}), tmp_path / "cosine")
        train(changed(train={"schedule": "cosine", "epochs": 3}), cosine.folder)
    train(changed(train={"epochs": 3}), folder)
    assert [line["epoch"] for line in metrics(folder)] == [1, 2, 3]


def test_other_settings_are_refused(run, changed):
    with pytest.raises(UserError, match=r"model\.gate=scalar, not vector"):
        train(changed(model={"gate": "vector"}), run.folder)


def test_teachers_without_a_share_change_nothing_and_must_stay(run, changed, tmp_path):
    """Without a share in the targets they change nothing, not even the order of batches.

    A run that resumes needs the teachers that it had.
    """
    teacher = shutil.copytree(run.folder, tmp_path / "teacher")
    # Adam would scale up gradients that are nothing but roundings.
    common = {"epochs": 1, "optimizer": "sgd", "learning_rate": 0.1}
    settings = {"teachers": (str(teacher),), "distillation": 0.0, **common}
    taught = train(dataclasses.replace(changed(train=settings), seed=3), tmp_path / "taught")
    alone = train(dataclasses.replace(changed(train=common), seed=3), tmp_path / "alone")
    weights = [load_model(run, "last").get_weights() for run in (taught, alone)]
    for a, b in zip(*weights, strict=True):
        # Roundings: some 15 steps, each with sums over some 50 words. Compared on the scale of
        # kernels, since biases start at zero.
        assert_close(a, b, roundings=15 * 50, terms=max(0.2, np.max(np.abs(b))))
    assert describe(taught)["teachers"] == [open_run(teacher).fingerprint()]
    shutil.rmtree(teacher / "checkpoints")
    train(taught.experiment, taught.folder)  # there is nothing left to learn from it
    longer = dataclasses.replace(changed(train=settings | {"epochs": 2}), seed=3)
    with pytest.raises(UserError, match="teacher: has no best checkpoint yet"):
        train(longer, taught.folder)
    shutil.copytree(alone.folder / "checkpoints", teacher / "checkpoints")
    with pytest.raises(UserError, match="its teachers have changed since it was started"):
        train(longer, taught.folder)
    with pytest.raises(UserError, match="is to be trained itself"):
        train(changed(train={"teachers": (str(tmp_path / "new"),)}), tmp_path / "new")


def test_schedules_of_the_learning_rate(changed):
    def rates(steps, **values):
        schedule = learning_rate(config.Training(learning_rate=1.0, epochs=4, **values), 10)
        return [float(schedule(step)) if callable(schedule) else schedule for step in steps]

    assert rates([0, 39], schedule="constant") == [1, 1]
    assert rates([0, 9, 10, 19, 20, 30], schedule="step", decay_from=3) == [1, 1, 1, 1, 0.5, 0.25]
    assert_close(rates([0, 20, 40], schedule="cosine"), [1, 0.5, 0], roundings=8)
    assert_close(rates([0, 5, 10, 30], warmup_steps=10), [0, 0.5, 1, 1], roundings=8)
    noam = rates([0, 5, 10, 40, 1000], schedule="noam", warmup_steps=10)
    assert_close(noam, [0, 0.5, 1, 0.5, 0.1], roundings=20)
    with pytest.raises(UserError, match=r"train\.schedule: noam needs a warm-up"):
        rates([0], schedule="noam")


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_averaged_weights_are_those_of_tensorflows_moving_average(precision):
    training = config.Training(average=0.7, learning_rate=0.1, precision=precision)
    weights = [tf.Variable([1.0, 2.0]), tf.Variable([[3.0]])]
    optimizer = build_optimizer(training, 10)
    optimizer.build(weights)
    oracle = tf.train.ExponentialMovingAverage(0.7, num_updates=optimizer.iterations)
    oracle.apply(weights)  # begins with the weights as they are
    for step in range(30):
        optimizer.apply_gradients([(tf.sin(weight + step), weight) for weight in weights])
        optimizer.iterations.assign_sub(1)  # the average counts the updates that were before
        oracle.apply(weights)
        optimizer.iterations.assign_add(1)
    trained = [weight.numpy() for weight in weights]
    with averaged(optimizer, weights):
        for weight, value in zip(weights, trained):
            assert_close(weight, oracle.average(weight), roundings=30 * 3)
            assert not np.allclose(weight, value, rtol=1e-3)
    for weight, value in zip(weights, trained):
        np.testing.assert_array_equal(weight, value)


def test_the_best_checkpoint_is_the_average_and_training_does_not_notice(changed, tmp_path):
    plain = changed(train={"deterministic": True, "epochs": 1})
    trained = {}
    for name, average in {"plain": 0.0, "averaged": 0.9}.items():
        experiment = dataclasses.replace(
            plain, train=dataclasses.replace(plain.train, average=average)
        )
        trained[name] = train(experiment, tmp_path / name)
    last = {name: load_model(each, "last").get_weights() for name, each in trained.items()}
    best = {name: load_model(each, "best").get_weights() for name, each in trained.items()}
    for index, weight in enumerate(last["plain"]):
        np.testing.assert_array_equal(last["averaged"][index], weight)
        np.testing.assert_array_equal(best["plain"][index], weight)
    assert any(
        not np.allclose(one, other, atol=1e-4)
        for one, other in zip(best["averaged"], last["averaged"])
    )


def test_plateau_lowers_the_rate_without_gain(data, changed, tmp_path):
    # At this rate no caption changes, so nothing is gained after the first epoch.
    train(
        changed(
            train={"schedule": "plateau", "decay_rate": 0.1, "learning_rate": 1e-9, "epochs": 3}
        ),
        tmp_path / "run",
    )
    rates = [line["learning_rate"] for line in metrics(tmp_path / "run")]
    assert_close(rates, [1e-9, 1e-10, 1e-11], roundings=8, terms=0)


def test_patience_ends_training(changed, tmp_path):
    train(changed(train={"learning_rate": 0.0, "epochs": 9, "patience": 2}), tmp_path / "run")
    assert len(metrics(tmp_path / "run")) == 3


def test_a_loss_that_is_no_number_is_an_error(changed, tmp_path):
    with pytest.raises(UserError, match="learning_rate"):
        train(changed(train={"learning_rate": 1e38, "clip_norm": 0.0}), tmp_path / "run")


@pytest.fixture
def copied_run(run, tmp_path):
    return shutil.copytree(run.folder, tmp_path / "copied")


def test_a_vocabulary_that_is_not_the_checkpoints_is_refused(copied_run):
    (copied_run / SUMS).unlink()  # as a run of an earlier version
    words = (copied_run / "vocabulary.txt").read_text().split("\n")
    words[5], words[6] = words[6], words[5]
    (copied_run / "vocabulary.txt").unlink()  # it is a link into the data set
    (copied_run / "vocabulary.txt").write_text("\n".join(words))
    with pytest.raises(UserError, match=r"vocabulary\.txt: fingerprint"):
        load_vocabulary(open_run(copied_run))
    facts = json.loads((copied_run / "run.json").read_text())
    (copied_run / "run.json").write_text(json.dumps({**facts, "vocabulary": "0" * 16}))
    with pytest.raises(UserError, match="belongs to vocabulary"):
        load_model(open_run(copied_run))


def test_a_checkpoint_that_does_not_fit_is_refused(copied_run):
    text = (copied_run / "config.yaml").read_text()
    (copied_run / "config.yaml").write_text(text.replace("state_size: 16", "state_size: 17"))
    with pytest.raises(UserError, match="does not fit"):
        load_model(open_run(copied_run))
    shutil.rmtree(copied_run / "checkpoints")
    with pytest.raises(UserError, match="no best checkpoint"):
        load_model(open_run(copied_run))


def test_features_of_another_encoder_are_refused(run, data_folder, tmp_path):
    """Pictures and captions are the same, but the CNN is not.

    The shapes agree, so captions would be nonsense.
    """
    folder = shutil.copytree(data_folder, tmp_path / "data")
    encoder = json.loads((folder / "manifest.json").read_text())["encoder"]
    rewrite_manifest(folder, encoder=encoder | {"weights": "0" * 16})
    with pytest.raises(UserError, match="encoder"):
        run.data(folder)


def test_odd_folder_names(run, data, tmp_path):
    load_model(open_run(shutil.copytree(run.folder, tmp_path / "é: #x")))
    with pytest.raises(UserError, match=r"a \[1\].*pattern"):
        create_run(tmp_path / "a [1]", run.experiment, data)


def test_data_of_another_vocabulary_are_refused(run, tmp_path):
    prepare(small_prepare(min_count=9), tmp_path / "other")
    with pytest.raises(UserError, match="other data"):
        create_run(run.folder, run.experiment, open_prepared(tmp_path / "other"))


def test_changed_shards_stop_training_before_a_checkpoint(data_folder, changed, tmp_path):
    """One byte is told with its record and image; other records of equal size by the hash."""
    folder = shutil.copytree(data_folder, tmp_path / "data")
    experiment = changed(data={"path": str(folder)}, train={"epochs": 1})
    [shard] = open_prepared(folder).shards("train")
    whole = Path(shard).read_bytes()
    Path(shard).write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    with pytest.raises(UserError, match=r"record 40 is corrupt: image train-\d+; prepare"):
        train(experiment, tmp_path / "flipped")
    Path(shard).write_bytes(whole)
    records = list(tf.data.TFRecordDataset(shard).as_numpy_iterator())
    with tf.io.TFRecordWriter(shard) as writer:
        for record in records[1:] + records[:1]:
            writer.write(record)
    with pytest.raises(UserError, match=rf"{shard}: has changed since it was written"):
        train(experiment, tmp_path / "changed")
    for name in ("flipped", "changed"):
        assert not list((tmp_path / name / "checkpoints").rglob("*.index"))
