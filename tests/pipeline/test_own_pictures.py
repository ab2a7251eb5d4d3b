"""The README's commands for a folder of your own pictures, on sixty drawn pictures."""

import dataclasses
import re
import shlex
from pathlib import Path

from keras_sat import config
from keras_sat.cli.main import main
from keras_sat.data import scenes
from keras_sat.data.prepared import open_prepared
from keras_sat.runs.run import open_run
from tests.support import corpora
from tests.support.settings import SMALL_MODEL

README = Path(__file__).parents[2] / "README.md"


def documented(command):
    """The arguments of the first call of this command in the README's section."""
    section = README.read_text().split("### Your own pictures")[1].split("\n#")[0]
    return shlex.split(re.search(rf"keras-sat ({command} [^\n`]+)", section)[1])


def test_sixty_pictures_with_a_csv_become_a_data_set_that_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = ["image,caption,split"]
    for number, split in enumerate(["train"] * 48 + ["val"] * 6 + ["test"] * 6):
        scene = scenes.draw(scenes.scene_id(split, number), seed=1)
        corpora.write(tmp_path / "my_pictures" / f"{number}.png", scene.image)
        lines += [f'{number}.png,"{caption}",{split}' for caption in scene.captions[:2]]
    corpora.write(tmp_path / "my_pictures" / "captions.csv", "\n".join(lines))

    # Without --weights none, the published weights would be downloaded.
    main([*documented("prepare"), "--weights", "none"])
    data = open_prepared("data/mine")
    splits = [split for split in data.statistics if split in ("train", "val", "test")]
    assert {split: data.images(split) for split in splits} == {"train": 48, "val": 6, "test": 6}
    assert data.statistics["train"]["captions"] == 96 and not list(data.folder.glob("failures-*"))
    assert data.statistics["train"]["unknown_words"] == 0, "every word of a small corpus counts"

    small = [*SMALL_MODEL, "model.annotation_size=8", "train.epochs=1", "data.batch_size=20"]
    main([*documented("train"), *(f"--set={setting}" for setting in small)])
    assert (
        "settings: photos_soft train.epochs=100 train.warmup_steps=10; " in capsys.readouterr().out
    )
    run = open_run("runs/mine_soft")
    assert run.checkpoint()
    tuned = config.load("flickr8k_soft", [*small, "train.warmup_steps=10"])
    for section in ("model", "finetune", "train", "decoding"):
        assert getattr(run.experiment, section) == getattr(tuned, section), section
    assert run.experiment.prepare == data.preparation
    assert (run.experiment.prepare.dataset, run.experiment.prepare.source) == (
        "folder",
        "my_pictures",
    )
    encoder = dataclasses.replace(tuned.prepare.encoder, weights="none")
    assert run.experiment.prepare.encoder == encoder and run.facts.encoder["name"] == "Xception"
