"""Training that resumes from a damaged folder says what was lost, and loses nothing else."""

import shutil

import pytest

from keras_sat.cli.experiments import reproduce
from keras_sat.runs.checkpoints import Checkpoints
from keras_sat.runs.run import open_run
from keras_sat.training import resuming
from keras_sat.training.train import train
from keras_sat.utils.claim import claimed
from keras_sat.utils.errors import UserError
from tests.support.damages import DAMAGES, part_of
from tests.training.test_trainer import metrics


@pytest.fixture
def folder(run, tmp_path):
    return shutil.copytree(run.folder, tmp_path / "run")


def newest(folder):
    return max(int(path.stem.removeprefix("ckpt-")) for path in folder.glob("*.index"))


def test_training_falls_back_and_says_what_is_lost(run, folder, capsys):
    """The last and the best checkpoint are damaged at once."""
    checkpoints = folder / "checkpoints"
    last = newest(checkpoints / "last")
    DAMAGES["halve"](part_of(checkpoints / "last", last, "data"), 0)
    best = newest(checkpoints / "best")
    DAMAGES["remove"](part_of(checkpoints / "best", best, "index"), 0)
    train(run.experiment, folder)
    printed = capsys.readouterr().out
    for part in (
        f"last/ckpt-{last} is damaged (",
        "in epoch 2 after 0 batches. Lost: ",
        f"best/ckpt-{best} is damaged (ckpt-{best}.index is missing). Lost: the weights of epoch 1",
        f"The damaged files are in {checkpoints / 'damaged'}",
    ):
        assert part in printed, printed
    assert part_of(checkpoints / "damaged", last, "data").exists()
    for found, expected in zip(metrics(folder), metrics(run.folder), strict=True):
        assert found["step"] == expected["step"]
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert newest(checkpoints / "best") > best, "the next epoch's weights are the best ones"


def test_a_finished_run_whose_best_is_damaged_is_no_success(run, folder):
    shutil.rmtree(folder / "checkpoints" / "best")
    with pytest.raises(UserError, match=r"its files are missing.* finished; .*train\.epochs=3"):
        train(run.experiment, folder)


def test_training_never_starts_anew_in_a_trained_folder(run, folder):
    before = (folder / "metrics.jsonl").read_text()
    shutil.rmtree(folder / "checkpoints" / "last")
    with pytest.raises(UserError, match=r"nothing to resume from: .*--set init_from="):
        train(run.experiment, folder)
    assert (folder / "metrics.jsonl").read_text() == before


def test_a_run_killed_at_its_first_best_checkpoint_resumes(changed, tmp_path, monkeypatch):
    save_best = Checkpoints.save_best

    def save_best_and_die(self):
        save_best(self)
        raise SystemExit

    monkeypatch.setattr(Checkpoints, "save_best", save_best_and_die)
    experiment = changed(train={"epochs": 1, "validation_images": 2})
    with pytest.raises(SystemExit):
        train(experiment, tmp_path / "run")
    monkeypatch.undo()
    run = train(experiment, tmp_path / "run")
    assert [line["epoch"] for line in metrics(run.folder)] == [1] and run.checkpoint("best")


def test_one_validation_image_is_refused_before_training(changed, tmp_path):
    experiment = changed(train={"epochs": 1, "validation_images": 1})
    with pytest.raises(UserError, match=r"one validation image.*train\.validation_images"):
        train(experiment, tmp_path / "run")


def test_metrics_are_cut_to_what_the_checkpoint_knows(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    resuming.cut_metrics(path, 0)
    assert not path.exists() and not capsys.readouterr().out
    path.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    resuming.cut_metrics(path, 1)
    assert path.read_text() == '{"epoch": 1}\n' and not capsys.readouterr().out
    resuming.cut_metrics(path, 3)
    assert "lacks 2 of 3 epochs" in capsys.readouterr().out


def test_two_trainings_of_a_run_and_two_reproductions(run, tmp_path):
    others = claimed(run.folder, "training")
    with others, pytest.raises(UserError, match=f"{run.folder}: training since"):
        train(run.experiment, run.folder)
    assert open_run(run.folder).curve() == metrics(run.folder)
    others = claimed(tmp_path / "results", "reproduction")
    with others, pytest.raises(UserError, match="results: reproduction since"):
        reproduce({}, tmp_path / "runs", tmp_path / "results")
