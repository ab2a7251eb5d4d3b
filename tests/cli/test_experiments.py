"""Recorded results: the rows of several calls make one table.

Each record holds what is needed to repeat it.
"""

import dataclasses
import json
import re
import subprocess

import pytest

from keras_sat import config
from keras_sat.cli.experiments import linked_to_runs
from keras_sat.evaluation import records
from keras_sat.evaluation.evaluate import evaluate
from keras_sat.evaluation.results_file import read_results
from keras_sat.reproduce import main
from keras_sat.runs.ensemble import open_runs
from keras_sat.runs.run import open_run
from keras_sat.utils.errors import UserError
from keras_sat.utils.version import code_version
from tests.support.settings import small_prepare

MEMBER = {"run": "soft", "checkpoint": "1", "data": {"fingerprint": "2"}}


@pytest.fixture(scope="module")
def results(experiment, tmp_path_factory):
    """Two seeds in two calls, then both together as an ensemble."""
    folder = tmp_path_factory.mktemp("reproduce")
    experiment = dataclasses.replace(
        experiment, prepare=small_prepare(), decoding=config.Decoding(max_length=12)
    )
    (folder / "small.yaml").write_text(config.to_yaml(experiment))
    (folder / "other.yaml").write_text("base: small.yaml\nseed: 7\ninit_from: nowhere/small\n")
    common = ["--runs", str(folder / "runs"), "--output", str(folder / "results"), "--split", "val"]
    main([str(folder / "small.yaml"), *common])
    main([str(folder / "small.yaml"), *common, "--set", "seed=2", "--suffix", "_seed2"])
    main([str(folder / "small.yaml"), str(folder / "other.yaml"), *common, "--ensemble"])
    return folder


def test_every_call_adds_to_the_table(results, experiment, data):
    recorded = records.read(results / "results", "val")
    assert [each["system"] for each in recorded] == ["other", "small", "small_seed2", "small+other"]
    assert [[run["seed"] for run in each["runs"]] for each in recorded] == [[7], [1], [2], [1, 7]]
    assert recorded[0]["runs"][0]["init_from"] == str(results / "runs" / "small")
    for each in recorded:
        assert len(read_results(results / "results" / each["captions"])) == each["images"] == 8
        assert len(each["curve"]) == (2 if len(each["runs"]) == 1 else 0)
        for run in each["runs"]:
            assert re.fullmatch("[0-9a-f]{12}(-dirty)?|unknown", run["commit"])
            assert run["data"]["fingerprint"] == data.manifest["fingerprint"]
    table = (results / "results" / "table_val.md").read_text()
    assert len(table.splitlines()) == 2 + 4
    assert (results / "results" / "curves_val.png").stat().st_size > 10_000


def test_a_record_holds_what_evaluation_gives(results):
    evaluation = evaluate(open_run(results / "runs" / "small"), "val").evaluation
    [recorded] = [
        each for each in records.read(results / "results", "val") if each["system"] == "small"
    ]
    assert recorded["scores"].items() >= evaluation.values.items()
    assert {
        name: tuple(ends) for name, ends in recorded["intervals"].items()
    } == evaluation.intervals


def test_a_recorded_system_is_evaluated_again_only_if_it_changed(results):
    record = results / "results" / "small_val.json"
    evaluated = results / "runs" / "small" / "evaluation" / "val.json"
    arguments = [str(results / "small.yaml"), "--runs", str(results / "runs")]
    arguments += ["--output", str(results / "results")]
    before = evaluated.stat().st_mtime_ns
    text = record.read_text()
    main([*arguments, "--split", "val"])
    assert (evaluated.stat().st_mtime_ns, record.read_text()) == (before, text)
    record.write_text(text.replace('"beam": ', '"beam": 1'))
    main([*arguments, "--split", "val"])
    assert evaluated.stat().st_mtime_ns > before and record.read_text() == text


@pytest.mark.parametrize("names", [["small"], ["small", "other"]], ids=["run", "ensemble"])
def test_a_record_is_of_weights_data_settings_and_captions(names, results, tmp_path):
    run = open_runs([results / "runs" / name for name in names])
    name = f"{run.folder.name}_val.json"
    record = json.loads((results / "results" / name).read_text())
    (tmp_path / record["captions"]).touch()

    def recorded(**changes):
        (tmp_path / name).write_text(json.dumps({**record, **changes}))
        return records.recorded(tmp_path, "val", run)

    assert recorded()
    decoding = record["decoding"]
    assert recorded(
        decoding={name: value for name, value in decoding.items() if name != "samples"}
    ), "an older record"
    assert not recorded(
        decoding={name: value for name, value in decoding.items() if name != "max_length"}
    )
    assert not recorded(curve=record["curve"][:-1] or [{"seconds": 1}])
    assert not recorded(runs=[{**each, "checkpoint": "another"} for each in record["runs"]])
    assert not recorded(
        runs=[{**each, "data": {"fingerprint": "another"}} for each in record["runs"]]
    )
    (tmp_path / record["captions"]).unlink()
    assert not recorded()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"system": "soft"}',
        '{"runs": [{"run": "soft"}], "curve": []}',
        '{"runs": [], "curve": 1}',
        json.dumps(
            {"runs": [MEMBER, MEMBER], "curve": [], "decoding": None, "scores": {}, "intervals": {}}
        ),
    ],
)
def test_a_record_that_cannot_be_read(text, tmp_path):
    (tmp_path / "soft_val.json").write_text(text)
    with pytest.raises(UserError, match=r"soft_val\.json: cannot be read"):
        records.read(tmp_path, "val")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["small.yaml", "--ensemble"], "--ensemble: needs several"),
        (["small.yaml", "--split", "dev"], "has no split 'dev'"),
        (["other.yaml", "--suffix", "_seed9"], "small_seed9: no run there"),
        (
            ["small.yaml", "--set", "train.teachers=[nowhere/taught]"],
            "nowhere/taught: no run there",
        ),
        (
            ["other.yaml", "small.yaml"],
            "error: other needs small, which comes after it; name small first",
        ),
    ],
)
def test_mistakes_are_found_before_training_starts(arguments, message, results, tmp_path, capsys):
    arguments = [str(results / each) if each.endswith(".yaml") else each for each in arguments]
    with pytest.raises(SystemExit):
        main([*arguments, "--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "results")])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_suffix_names_what_this_call_trains(tmp_path):
    """`init_from` always gets the suffix; a teacher gets it only if it is trained in this call."""
    first = config.load()
    student = config.load(
        None, ["init_from=runs/first", "train.teachers=[runs/first, elsewhere/second]"]
    )
    linked = linked_to_runs({"first_x": first, "student_x": student}, tmp_path, "_x")
    assert linked["first_x"] == first
    assert linked["student_x"].init_from == str(tmp_path / "first_x")
    assert linked["student_x"].train.teachers == (str(tmp_path / "first_x"), "elsewhere/second")
    alone = linked_to_runs({"student_x": student}, tmp_path, "_x")["student_x"]
    assert alone.init_from == str(tmp_path / "first_x")
    assert alone.train.teachers == ("runs/first", "elsewhere/second")
    with pytest.raises(UserError, match="student needs first, which comes after it"):
        linked_to_runs({"student": student, "first": first}, tmp_path, "")


def test_code_is_named_by_its_commit(tmp_path):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a", *arguments], cwd=tmp_path, check=True
        )

    code = tmp_path / "code"
    code.mkdir()
    (code / "__init__.py").touch()
    assert code_version(code) == "unknown"
    git("init", "-q")
    assert code_version(code) == "unknown", "a copy in the folder of another repository"
    git("add", ".")
    git("commit", "-q", "-m", "first")
    assert re.fullmatch("[0-9a-f]{12}", code_version(code))
    (code / "new.py").touch()
    assert code_version(code).endswith("-dirty")


@pytest.mark.parametrize(
    "folder, split, page",
    [
        ("results", "val", "docs/flickr8k.md"),
        ("results", "test", "docs/flickr8k.md"),
        ("results/ablations", "val", None),
    ],
)
def test_the_tables_are_those_of_the_recorded_results(folder, split, page, tmp_path):
    root = config.CONFIGS.parent
    recorded = records.read(root / folder, split)
    table = records.write_table(tmp_path, split, recorded)
    assert (root / folder / f"table_{split}.md").read_text() == table + "\n"
    assert page is None or table in (root / page).read_text()
    for each in recorded:
        assert len(read_results(root / folder / each["captions"])) == each["images"]
