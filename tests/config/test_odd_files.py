"""Whatever is in a YAML or JSON file: one line that names the file, or a value in range."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_sat import config
from keras_sat.evaluation.report import read_scores
from keras_sat.evaluation.results_file import read_results
from keras_sat.pictures.boxes import read_boxes_file
from keras_sat.runs.run import Run
from keras_sat.utils.errors import UserError
from pipeline.blessing import verdicts
from pipeline.preparation import schema_gen
from serving.client.boxes import read_boxes
from tests.support.json_changes import changed_places, junk

TRIED = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ODD = [
    "[" * 50_000,
    "a: " + "9" * 5000,
    "a: 2001-99-99",
    "a: !!int ''",
    "a: !!bool maybe",
    "a: !!python/object/apply:os.system [true]",
    "&a [*a]",
    "? [1]\n: 2",
    "\0",
    "base: 5",
    'base: "\\0"',
    "base: [a]",
    "train: {learning_rate: .inf}",
    "train: {learning_rate: .nan}",
    "train: {learning_rate: 1" + 400 * "0" + "}",
    "train: {epochs: true}",
    "train: {epochs: 1.5}",
    "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi"))
    + "\ntrain: {epochs: *i}",
]


@pytest.mark.parametrize("text", ODD)
def test_odd_yaml_is_one_line(text, tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    for read in (config.load, schema_gen.load):
        with pytest.raises(UserError, match=r"odd\.yaml") as error:
            read(path)
        assert len(str(error.value)) < 3000


def finite(value):
    if isinstance(value, dict):
        return all(finite(each) for each in value.values())
    return not isinstance(value, float) or (math.isfinite(value) and value >= 0)


@TRIED
@given(changed_places(config.as_dict(config.load())) | junk())
def test_any_experiment_is_refused_by_key_or_in_range(tmp_path, values):
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(values))))
    try:
        experiment = config.load(path)
    except UserError as error:
        assert path.name in str(error)
    else:
        assert finite(config.as_dict(experiment))


SCHEMA = {"splits": {"train": {"images": [1, 9], "unknown_share": [0, 0.1]}}, "failures": {"x": 0}}


@TRIED
@given(changed_places(SCHEMA) | junk())
def test_any_schema_is_refused_by_key_or_in_range(tmp_path, values):
    path = tmp_path / "schema.yaml"
    path.write_text(yaml.safe_dump(values))
    try:
        schema = schema_gen.load(path)
    except UserError as error:
        assert path.name in str(error)
    else:
        for expected in schema["splits"].values():
            assert all(math.isfinite(each) for bounds in expected.values() for each in bounds)


@TRIED
@given(
    changed_places([{"image_id": 1, "caption": "a dog"}, {"image_id": "x", "caption": ""}]) | junk()
)
def test_any_results_are_refused_or_captions(tmp_path, values):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(values))
    try:
        captions = read_results(path)
    except UserError as error:
        assert path.name in str(error)
    else:
        assert captions and all(isinstance(text, str) for text in captions.values())


@TRIED
@given(changed_places({"scores": {"cider": 0.5}}) | junk())
def test_any_scores_are_refused_or_numbers(tmp_path, values):
    path = tmp_path / "test.json"
    path.write_text(json.dumps(values))
    try:
        scores = read_scores(tmp_path)["test"]
    except UserError as error:
        assert path.name in str(error)
    else:
        assert all(each is None or math.isfinite(each) for each in scores.values())


VERDICT = {"verdict": "BLESSED", "reasons": ["x"], "model": {"decoding": {}}, "version": 1}


@TRIED
@given(changed_places(VERDICT) | junk())
def test_any_verdict_is_refused_or_one(tmp_path, values):
    run = SimpleNamespace(folder=tmp_path)
    path = verdicts.path_of(run, "evaluator")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values))
    try:
        verdict = verdicts.read(run, "evaluator")
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert verdict["verdict"] in (verdicts.BLESSED, verdicts.NOT_BLESSED)
        assert all(isinstance(reason, str) for reason in verdict["reasons"])


@TRIED
@given(st.lists(changed_places({"epoch": 1, "seconds": 0.5}) | junk(), min_size=1, max_size=3))
def test_any_metrics_are_refused_by_line_or_epochs(tmp_path, lines):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    try:
        curve = Run(tmp_path, None, None).curve()
    except UserError as error:
        assert str(error).startswith(f"{path}:")
    else:
        assert all(line["epoch"] >= 1 for line in curve)


BOXES = {"id": "x", "boxes": [[0.1, 0.1, 0.5, 0.5], [0, 0, 1, 1]], "scores": [0.1, 2]}


@TRIED
@given(changed_places(BOXES) | junk())
def test_any_boxes_are_refused_or_inside_the_picture(tmp_path, values):
    path = tmp_path / "boxes.jsonl"
    path.write_text(json.dumps(values) + "\n")
    for read, refusal in (
        (lambda: read_boxes_file(path, 9), UserError),
        (lambda: read_boxes(path, []), ValueError),
    ):
        try:
            found = read()
        except refusal as error:
            assert path.name in str(error)
            continue
        for boxes in found.values():
            boxes = np.asarray(boxes[0] if isinstance(boxes, tuple) else boxes)
            assert ((boxes >= 0) & (boxes <= 1)).all()


@pytest.mark.parametrize("text", ["[" * 50_000, "NaN", "9" * 5000, "\ud800", ""])
def test_odd_json_is_one_line(text, tmp_path):
    path = tmp_path / "test.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    for read in (
        lambda: read_results(path),
        lambda: read_scores(tmp_path),
        lambda: read_boxes_file(path, 9),
    ):
        try:
            assert not read()  # an empty file holds no boxes
        except UserError as error:
            assert path.name in str(error)
