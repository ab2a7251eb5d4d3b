"""The end of the chain: from a trained run to a version that a server loads, or to a refusal."""

import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys

import pytest

from keras_sat import config
from keras_sat.cli.chain import run_chain
from keras_sat.data.reading import read_records
from keras_sat.evaluation import report
from keras_sat.evaluation.evaluation import Evaluation
from keras_sat.evaluation.scorers import LABELS
from keras_sat.exporting import model_card
from keras_sat.exporting.versions import versions
from keras_sat.runs.captioning import caption_files
from keras_sat.runs.run import open_run
from keras_sat.utils.errors import UserError
from pipeline.blessing import evaluator, infra_validator, pusher, verdicts
from pipeline.run import main as run_command
from serving.client.client import CaptionClient
from tests.support import saved_model
from tests.support.commands import assert_one_line, call
from tests.support.rounding import assert_close
from tests.support.server_process import running
from tests.support.settings import small_prepare

TAIL = ["Trainer", "Evaluator", "ModelBlessing", "InfraValidator", "Pusher"]
SHORT = config.Decoding(beam=1, max_length=3)


def test_from_the_source_to_a_version_that_a_running_server_answers_from(changed, tmp_path, capsys):
    folder = tmp_path / "run"
    models = tmp_path / "models" / "small"
    experiment = dataclasses.replace(
        changed(data={"path": str(tmp_path / "data")}, train={"epochs": 1}),
        prepare=small_prepare(source="train=40,val=8"),
        push=config.Push(folder=str(models), max_batch_size=2, pictures=3, must_not_lose=None),
    )

    def chain():
        """The lineage, and which of the last components were skipped."""
        capsys.readouterr()
        lineage = run_chain(experiment, folder, ["cider"])
        return lineage, re.findall(r"^(\w+): unchanged", capsys.readouterr().out, re.MULTILINE)

    saved_model.save(models, 1)
    with running("--model-base-path", models) as server, CaptionClient(server.address) as client:
        lineage, skipped = chain()
        assert (
            list(lineage)[-5:] == TAIL
            and not skipped
            and lineage == json.loads((folder / "lineage.json").read_text())
        )
        assert versions(models) == [2, 1] and "saved_model.pb" in lineage["Pusher"]["outputs"]
        assert [each.name for each in models.parent.iterdir()] == ["small"], (
            "nothing is left of the staging"
        )
        while not any("captioner/2 is available" in line for line in server.log):
            assert server.process.poll() is None
        run = open_run(folder)
        records = list(read_records(run.data(), "val"))
        for record in records:
            (tmp_path / record.source_id).write_bytes(record.encoded)
        expected, _ = caption_files(run, [tmp_path / record.source_id for record in records])
        answers = client.caption([record.encoded for record in records])
        for answer, (_, _, each, _) in zip(answers, expected, strict=True):
            assert answer.caption == each.caption
            # The CNN, and a step per word: sums of 1000 terms.
            assert_close(answer.score, each.score, roundings=1000)

    assert chain() == (lineage, TAIL)
    (tmp_path / "small.yaml").write_text(config.to_yaml(experiment))
    with pytest.raises(SystemExit, match="2"):
        arguments = ["--config", str(tmp_path / "small.yaml"), "--run", str(folder)]
        arguments += ["--metrics", "cider"]
        run_command([*arguments, "--push", str(models), "--set", "push.at_least.cider=9"])
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error:"))
    assert "NOT_BLESSED by the evaluator: cider is " in line
    assert chain()[1] == [*TAIL[:2], *TAIL[3:]] and versions(models) == [2, 1], (
        "what was pushed is not pushed again"
    )


@pytest.fixture
def trained(run, tmp_path):
    """A copy of the trained run with invented scores, to be pushed to tmp_path/models/small."""
    folder = shutil.copytree(run.folder, tmp_path / "run")
    report.write(
        folder / "evaluation",
        "test",
        "run",
        Evaluation({}, {}, {}, {"cider": 0.5, "bleu4": 0.3}, {}),
    )
    push = config.Push(folder=str(tmp_path / "models" / "small"), max_batch_size=2, pictures=2)
    return dataclasses.replace(
        run, folder=folder, experiment=dataclasses.replace(run.experiment, push=push)
    )


def asking(run, decoding=None, **push):
    """The run with other settings of `decoding` and `push`."""
    experiment = dataclasses.replace(
        run.experiment, push=dataclasses.replace(run.experiment.push, **push)
    )
    return dataclasses.replace(
        run, experiment=dataclasses.replace(experiment, decoding=decoding or experiment.decoding)
    )


def refusal(run):
    """Why the Evaluator refuses, or None."""
    try:
        evaluator.bless(run, "test")
    except UserError as error:
        verdict = json.loads(verdicts.path_of(run, "evaluator").read_text())
        assert verdict["verdict"] == "NOT_BLESSED" and all(
            reason in str(error) for reason in verdict["reasons"]
        )
        with pytest.raises(UserError, match="NOT_BLESSED"):
            pusher.push(run)
        return str(error)
    assert verdicts.blessed(run, "evaluator")["verdict"] == "BLESSED"


def test_thresholds_decide(trained):
    assert [field.name for field in dataclasses.fields(config.Scores)] == list(LABELS)
    assert refusal(trained) is None
    assert refusal(asking(trained, at_least=config.Scores(cider=0.5, bleu4=0.3))) is None
    assert "cider is 0.5000, push.at_least.cider 0.51" in refusal(
        asking(trained, at_least=config.Scores(cider=0.51))
    )
    found = refusal(asking(trained, at_least=config.Scores(bleu4=0.4, spice=0.1)))
    assert "bleu4 is 0.3000" in found and "spice was not measured" in found and "cider" not in found


def test_the_last_version_decides(trained):
    """It is the newest version that is not the same model; it needs scores on the same data."""
    other = asking(trained, SHORT)
    models = verdicts.model_folder(trained)

    def pushed(version, run, cider, data=trained.facts.data):
        card = model_card.describe(run, {"version": version})
        card["scores"]["test"]["cider"] = cider
        card["runs"][0]["data"]["fingerprint"] = data
        (models / str(version)).mkdir(parents=True)
        (models / str(version) / "model_card.json").write_text(json.dumps(card))

    pushed(9, other, 0.9)
    pushed(10, other, 0.52)
    assert "cider is 0.5000, that of version 10 0.5200, push.must_not_lose 0.01" in refusal(trained)
    assert refusal(asking(trained, must_not_lose=0.03)) is None
    assert refusal(asking(trained, must_not_lose=None)) is None
    pushed(11, trained, 0.5)
    assert "version 10" in refusal(trained), "a model is not compared with itself"
    pushed(12, other, 0.4, data="elsewhere")
    assert "version 12 has no such scores on this data" in refusal(trained)
    (models / "13").mkdir()
    with pytest.raises(
        UserError, match=r"13.model_card\.json: cannot be read .* push\.must_not_lose=null"
    ):
        evaluator.bless(trained, "test")


# Kills itself, as `kill -9` would, just before a folder is renamed to a version's.
KILLED = """
import os, runpy, signal, sys

def hook(event, arguments):
    if event == "os.rename" and os.path.basename(arguments[1]).isdigit():
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
sys.argv[0] = "pusher"
runpy.run_module("pipeline.pusher", run_name="__main__")
"""


def test_what_is_staged_is_tried_and_pushed_whole_or_not_at_all(trained):
    models = verdicts.model_folder(trained)
    staging = verdicts.staging_folder(trained)
    evaluator.bless(trained, "test")
    with pytest.raises(
        UserError, match=r"no verdict on this model; python -m pipeline\.infra_validator"
    ):
        pusher.push(trained)
    infra_validator.validate(trained)
    assert not models.exists() and versions(staging) == [1]

    records = list(read_records(trained.data(), "test", 2))
    found = infra_validator.differences(asking(trained, SHORT), staging, records)
    assert len(found) == 2 and found[0].startswith(f"{records[0].source_id}: served '")

    arguments = ["--run", trained.folder, "--push", models]
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, *map(str, arguments)])
    assert (
        killed.returncode == -signal.SIGKILL and versions(models) == [] and versions(staging) == [1]
    )
    with pytest.raises(UserError, match="no verdict on this model"):
        pusher.push(asking(trained, SHORT))
    assert (
        pusher.push(trained) == pusher.push(trained) == models / "1"
        and (models / "1" / "saved_model.pb").exists()
    )
    assert [each.name for each in models.parent.iterdir()] == ["small"]


def test_a_version_that_does_not_load_is_refused(trained, tmp_path):
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"no graph")
    records = list(read_records(trained.data(), "test", 1))
    (reason,) = infra_validator.differences(trained, tmp_path / "broken", records)
    assert (
        reason.startswith("the server ended with code 2 before it served: error: ")
        and "version 1" in reason
    )


def test_mistakes_come_before_any_work(trained):
    assert_one_line(call("pipeline.pusher", "--run", trained.folder), "--push serving/models/NAME")
