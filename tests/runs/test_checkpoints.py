"""Checkpoints: whatever is damaged is found, and nothing that was trained is started anew."""

import random
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_sat.runs.checkpoints import read_progress
from keras_sat.runs.soundness import fault_in
from keras_sat.utils.errors import UserError
from tests.support.damages import DAMAGES, PARTS, SmallTraining, part_of

PLACES = 3  # of each damage; the soak test takes more


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with last checkpoints after 5 and 10 updates: (training, values after 5, after 10)."""
    training = SmallTraining(tmp_path_factory.mktemp("runs") / "run")
    training.train(5, best=True)
    after_5 = training.values()
    training.train(5)
    return training, after_5, training.values()


@pytest.fixture
def training(trained, tmp_path):
    """The same training with a copy of the run, to damage."""
    training, *_ = trained
    before = training.run
    training.run = shutil.copytree(before, tmp_path / "run")
    yield training
    training.run = before


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(part, damage, trained, training):
    _, after_5, after_10 = trained
    folder = training.run / "checkpoints" / "last"
    path = part_of(folder, 10, part)
    content = path.read_bytes()
    draws = random.Random(part + damage)
    for _ in range(PLACES):
        DAMAGES[damage](path, draws.random())
        restored = training.restore()
        if restored.damaged:
            assert [each.path.name for each in restored.damaged] == ["ckpt-10"]
            assert restored.damaged[0].fault and part != "note"
            assert_equal(training.values(), after_5)
        else:  # a byte that nothing depends on, or TensorFlow's note, which is not needed
            assert restored.path.name == "ckpt-10"
            assert_equal(training.values(), after_10)
        path.write_bytes(content)


def test_every_flipped_byte_of_the_data_is_found(training):
    path = part_of(training.run / "checkpoints" / "last", 10, "data")
    content = path.read_bytes()
    for place in np.linspace(0, 1, 50, endpoint=False):
        DAMAGES["flip"](path, place)
        assert fault_in(path.with_suffix("")), place
        path.write_bytes(content)


def test_without_a_sound_checkpoint_training_is_refused(training):
    folder = training.run / "checkpoints" / "last"
    for number in (5, 10):
        DAMAGES["halve"](part_of(folder, number, "data"), 0)
    with pytest.raises(UserError, match=r"ckpt-10 is damaged .*ckpt-5 is damaged .*init_from"):
        training.restore()


def test_a_trained_run_without_checkpoints_is_refused(training):
    shutil.rmtree(training.run / "checkpoints" / "last")
    with pytest.raises(UserError, match=r"has been trained, but .* holds no checkpoint"):
        training.restore()
    shutil.rmtree(training.run / "checkpoints")
    assert training.restore().path is None, "a new run"
    (training.run / "metrics.jsonl").write_text('{"epoch": 1}\n')
    with pytest.raises(UserError, match="choose another --run to train anew"):
        training.restore()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_best_checkpoint_is_told(damage, training):
    """Resuming forgets it, and whoever loads it gets one line."""
    path = part_of(training.run / "checkpoints" / "best", 5, "data")
    DAMAGES[damage](path, 0.4)
    best = training.restore().best
    assert best and best.path.name == "ckpt-5" and best.fault
    with pytest.raises(UserError, match=r"best/ckpt-5 is damaged \(.*\); restore"):
        read_progress(best.path)
    shutil.rmtree(path.parent)
    assert training.restore().best.fault == "its files are missing"


def test_the_last_two_are_kept_and_numbers_are_never_reused(tmp_path):
    training = SmallTraining(tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "last"
    (folder / "ckpt-3_temp").mkdir(parents=True)  # of a process that was killed
    (folder / "ckpt-3_temp" / "part-00000").write_text("half")
    for updates in (4, 1, 0):
        training.train(updates)
    assert sorted(path.name for path in folder.glob("*.index")) == ["ckpt-5.index", "ckpt-6.index"]
    assert not list(folder.glob("*_temp*"))
    assert tf.train.latest_checkpoint(str(folder)) == str(folder / "ckpt-6")


def test_what_does_not_read_back_is_refused_and_the_one_before_stays(tmp_path, monkeypatch):
    """A new checkpoint is read to its last value before an older one is deleted."""
    training = SmallTraining(tmp_path / "run")
    training.train(1)
    training.train(1)
    kept = training.values()
    write = tf.train.Checkpoint.write

    def faulty(checkpoint, path):
        write(checkpoint, path)
        DAMAGES["flip"](part_of(tmp_path / "run" / "checkpoints" / "last", 3, "data"), 0.5)

    monkeypatch.setattr(tf.train.Checkpoint, "write", faulty)
    with pytest.raises(UserError, match=r"ckpt-3: was written, but .*Checksum"):
        training.train(1)
    assert training.restore().path.name == "ckpt-2"
    assert_equal(training.values(), kept)


def test_weights_that_are_not_finite_are_not_kept(tmp_path):
    training = SmallTraining(tmp_path / "run")
    training.train(1)
    weight = training.model.weights[0]
    weight.assign(weight * np.inf)
    with pytest.raises(UserError, match="not finite; it is deleted, and the one before it is kept"):
        training.train(1)
    assert training.restore().path.name == "ckpt-1"


def test_a_run_of_an_older_program_has_one_checkpoint_and_resumes(tmp_path, trained, training):
    """TensorFlow's manager wrote it, with max_to_keep=1 and a path in its note."""
    _, after_5, _ = trained
    folder = training.run / "checkpoints" / "last"
    DAMAGES["remove"](part_of(folder, 10, "index"), 0)
    DAMAGES["remove"](part_of(folder, 10, "data"), 0)
    (folder / "checkpoint").write_text(
        'model_checkpoint_path: "/elsewhere/last/ckpt-5"\n'
        'all_model_checkpoint_paths: "/elsewhere/last/ckpt-5"\n'
    )
    restored = training.restore()
    assert (restored.path.name, restored.damaged) == ("ckpt-5", ())
    assert_equal(training.values(), after_5)


def test_a_checkpoint_of_another_model_is_refused(training):
    other = tf.train.Checkpoint(other=tf.Variable(1.0))
    other.write(str(training.run / "checkpoints" / "last" / "ckpt-11"))
    with pytest.raises(UserError, match=r"ckpt-11: does not fit the run's config\.yaml"):
        training.restore()
    assert fault_in(training.run / "checkpoints" / "last" / "ckpt-11") is None
