import dataclasses
import json
import os

from pipeline.run import run
from tests.conftest import small_prepare


def test_the_chain_skips_what_is_done_and_unchanged(experiment, tmp_path, capsys):
    path = tmp_path / "data"
    small = dataclasses.replace(
        experiment,
        prepare=small_prepare(source="train=40,val=8"),
        data=dataclasses.replace(experiment.data, path=str(path)),
        train=dataclasses.replace(experiment.train, epochs=1),
    )
    first = run(small, tmp_path / "run", ["bleu"])
    assert first == json.loads((tmp_path / "run" / "lineage.json").read_text())
    assert list(first) == [
        *("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform"),
        *("Trainer", "Evaluator"),
    ]
    assert first["Trainer"]["inputs"]["Transform"] == json.loads((path / "manifest.json").read_text())["fingerprint"]
    assert (tmp_path / "run" / "evaluation" / "val.json").exists()
    capsys.readouterr()

    assert run(small, tmp_path / "run", ["bleu"]) == first
    printed = capsys.readouterr().out
    assert all(line in printed for line in ("already prepared", "Trainer: unchanged", "Evaluator: unchanged"))

    assert run(small, tmp_path / "run", ["bleu", "rouge"]) != first
    printed = capsys.readouterr().out
    assert "Trainer: unchanged" in printed and "Evaluator: unchanged" not in printed

    os.remove(tmp_path / "run" / "evaluation" / "val.json")
    run(small, tmp_path / "run", ["bleu", "rouge"])
    assert (tmp_path / "run" / "evaluation" / "val.json").exists()
