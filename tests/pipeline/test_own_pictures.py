"""The README's commands for a folder of your own pictures, on ten drawn pictures."""

import re
import shlex
from pathlib import Path

from keras_sat import train
from keras_sat.data import scenes
from keras_sat.data.prepared import open_prepared
from pipeline import prepare
from tests.support import corpora
from tests.support.settings import SMALL_MODEL

README = Path(__file__).parents[2] / "README.md"


def documented(module):
    """The arguments of the first call of this module in the README's section."""
    section = README.read_text().split("### Your own pictures")[1].split("\n#")[0]
    return shlex.split(re.search(rf"python -m {module} ([^\n`]+)", section)[1])


def test_ten_pictures_with_a_csv_become_a_data_set_that_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["image,caption,split"]
    for number, split in enumerate(["train"] * 6 + ["val"] * 2 + ["test"] * 2):
        scene = scenes.draw(scenes.scene_id(split, number), seed=1)
        corpora.write(tmp_path / "my_pictures" / f"{number}.png", scene.image)
        lines += [f'{number}.png,"{caption}",{split}' for caption in scene.captions]
    corpora.write(tmp_path / "my_pictures" / "captions.csv", "\n".join(lines))

    # Without --weights none, the published weights would be downloaded.
    prepare.main([*documented("pipeline.prepare"), "--weights", "none"])
    data = open_prepared("data/mine")
    splits = [split for split in data.statistics if split in ("train", "val", "test")]
    assert {split: data.images(split) for split in splits} == {"train": 6, "val": 2, "test": 2}
    assert data.statistics["train"]["captions"] == 30 and not list(data.folder.glob("failures-*"))
    assert data.statistics["val"]["unknown_share"] < 0.5

    small = [
        f"--set={setting}" for setting in (*SMALL_MODEL, "train.epochs=1", "data.batch_size=10")
    ]
    train.main([*documented("keras_sat.train"), *small])
    assert (tmp_path / "runs" / "mine" / "checkpoints" / "best").is_dir()
