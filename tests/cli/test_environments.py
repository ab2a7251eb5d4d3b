"""Folders that cannot be written and memory that ends: one line, and exit code 2."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_sat import export, train
from keras_sat.runs.run import create_run
from keras_sat.training.train import train as train_run
from keras_sat.training.trainer import Trainer
from keras_sat.utils.claim import claimed
from keras_sat.utils.errors import UserError, explain, memory_advice
from pipeline import prepare
from pipeline.preparation import chain
from pipeline.preparation.prepare import prepare as prepare_data
from tests.support.permissions import read_only
from tests.support.settings import small_prepare


def ends_with_one_line(main, arguments, capsys):
    """Runs a command in this process and returns its one line of error."""
    with pytest.raises(SystemExit) as stopped:
        main([str(each) for each in arguments])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert stopped.value.code == 2 and len(lines) == 1, lines
    return lines[0]


def arguments_of(command, run, folder):
    """(the command's main, its arguments) to write `folder`."""
    training = ["--config", run.folder / "config.yaml", "--data", run.experiment.data.path]
    return {
        "a new run": (train.main, [*training, "--run", folder]),
        "a run that is resumed": (train.main, [*training, "--run", folder]),
        "a preparation": (prepare.main, ["--source", "train=4", "--output", folder]),
        "an export": (export.main, ["--run", run.folder, "--output", folder]),
    }[command]


@pytest.mark.parametrize(
    "command", ["a new run", "a run that is resumed", "a preparation", "an export"]
)
def test_a_folder_that_cannot_be_written(command, run, tmp_path, capsys):
    folder = tmp_path / "place" / "folder"
    folder.parent.mkdir()
    if command == "a run that is resumed":
        shutil.copytree(run.folder, folder)
    before = sorted(folder.parent.rglob("*"))
    main, arguments = arguments_of(command, run, folder)
    with read_only(folder):
        line = ends_with_one_line(main, arguments, capsys)
    assert str(folder) in line and "Permission denied" in line and "another folder" in line
    assert sorted(folder.parent.rglob("*")) == before, "nothing is left behind"


@pytest.mark.parametrize("command", ["a run that is resumed", "a preparation", "an export"])
def test_a_folder_in_which_another_process_works(command, run, tmp_path, capsys):
    folder = tmp_path / "folder"
    if command == "a run that is resumed":
        shutil.copytree(run.folder, folder)
    main, arguments = arguments_of(command, run, folder)
    with claimed(folder, "the other's work"):
        line = ends_with_one_line(main, arguments, capsys)
    assert f"{folder}: the other's work since" in line


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    """By Python and by TensorFlow; other refusals name no file and are defects."""
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()

    def write_by_tensorflow():
        tf.io.write_file(str(path), "x")

    for write in (path.touch, write_by_tensorflow):
        with read_only(path.parent), pytest.raises(Exception) as error:
            write()
        line = explain(error.value)
        assert line.startswith(f"{path}: permission denied; change its permissions"), line
    assert explain(PermissionError("a port below 1024")) is None


def exhaust(*_):
    """Asks for more memory than there is."""
    tf.zeros([1 << 48])


def test_what_ran_out_of_memory_is_told(tmp_path):
    with pytest.raises(UserError, match="out of memory; lower it"), memory_advice("lower it"):
        exhaust()
    with pytest.raises(UserError, match="out of memory; lower it"), memory_advice("lower it"):
        np.zeros(1 << 55)
    with pytest.raises(UserError, match="another mistake"), memory_advice("lower it"):
        raise UserError("another mistake of a MemoryError")
    with pytest.raises(ZeroDivisionError), memory_advice("lower it"):
        _ = 1 / 0


def test_out_of_memory_while_training(run, data, changed, tmp_path, monkeypatch):
    folder = shutil.copytree(run.folder, tmp_path / "run")
    monkeypatch.setattr(Trainer, "_epoch", exhaust)
    with pytest.raises(
        UserError, match=r"raise train\.accumulate \(now 1\).* lower data\.batch_size \(now 16\)"
    ):
        train_run(changed(train={"epochs": 3}), folder)
    monkeypatch.undo()
    resumed = create_run(folder, changed(train={"epochs": 3, "accumulate": 2}), data)
    assert resumed.experiment.train.accumulate == 2, "the advice can be followed"


def test_out_of_memory_while_preparing(tmp_path, monkeypatch):
    monkeypatch.setattr(chain, "build_data_set", exhaust)
    with pytest.raises(UserError, match=r"direct_num_workers=1, or lower --set chunk_images"):
        prepare_data(small_prepare(), tmp_path / "data")
