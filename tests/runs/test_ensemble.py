import json

import pytest

from keras_sat import config
from keras_sat.runs.ensemble import open_runs
from keras_sat.utils.errors import UserError
from keras_sat.utils.files import write_text

ENCODER = {
    "name": "x",
    "weights": "e" * 16,
    "image_size": 64,
    "resize": "squash",
    "quantisation": "uint8",
    "feature_shape": [2, 2, 5],
}
FACTS = {
    "inputs": {"features": [2, 2, 5]},
    "vocabulary": "a" * 16,
    "vocabulary_size": 9,
    "encoder": ENCODER,
    "proposals": None,
    "data": "cccc",
}
PROPOSALS = {"most": 9, "image_size": None, "feature_shape": None}
BOXES = {"inputs": {"features": [2, 2, 5], "boxes": [9, 4]}, "proposals": PROPOSALS}


def run(folder, **facts):
    write_text(folder / "config.yaml", config.to_yaml(config.load()))
    write_text(folder / "run.json", json.dumps(FACTS | facts))
    return folder


def test_runs_of_different_data_are_refused(tmp_path):
    first = run(tmp_path / "first")
    for key, value in {"vocabulary": "b" * 16, "encoder": ENCODER | {"name": "y"}}.items():
        with pytest.raises(
            UserError, match=rf"second_{key}: its {key} .*first.* one prepared data set"
        ):
            open_runs([first, run(tmp_path / f"second_{key}", **{key: value})])
    with pytest.raises(UserError, match="nowhere: no run there"):
        open_runs([first, tmp_path / "nowhere"])


def test_an_ensemble_reads_what_any_of_its_runs_reads(tmp_path):
    both = open_runs([run(tmp_path / "grid"), run(tmp_path / "boxes", **BOXES)])
    assert both.facts.inputs == BOXES["inputs"] and both.facts.proposals == PROPOSALS
    assert both.folder == tmp_path / "grid+boxes"
