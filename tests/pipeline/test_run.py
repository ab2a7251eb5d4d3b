import dataclasses
import json
import os

from keras_sat import config
from keras_sat.cli.chain import run_chain
from keras_sat.evaluation.results_file import read_results
from tests.support.settings import small_prepare


def test_the_chain_skips_what_is_done_and_unchanged(experiment, tmp_path, capsys):
    path = tmp_path / "data"
    small = dataclasses.replace(
        experiment,
        prepare=small_prepare(source="train=40,val=8"),
        data=dataclasses.replace(experiment.data, path=str(path)),
        train=dataclasses.replace(experiment.train, epochs=1),
    )
    first = run_chain(small, tmp_path / "run", ["bleu"])
    assert first == json.loads((tmp_path / "run" / "lineage.json").read_text())
    assert list(first) == [
        *("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform"),
        *("Trainer", "Evaluator"),
    ]
    assert (
        first["Trainer"]["inputs"]["Transform"]
        == json.loads((path / "manifest.json").read_text())["fingerprint"]
    )
    assert (tmp_path / "run" / "evaluation" / "val.json").exists()
    capsys.readouterr()

    assert run_chain(small, tmp_path / "run", ["bleu"]) == first
    printed = capsys.readouterr().out
    assert all(
        line in printed
        for line in ("already prepared", "Trainer: unchanged", "Evaluator: unchanged")
    )

    assert run_chain(small, tmp_path / "run", ["bleu", "rouge"]) != first
    printed = capsys.readouterr().out
    assert "Trainer: unchanged" in printed and "Evaluator: unchanged" not in printed

    os.remove(tmp_path / "run" / "evaluation" / "val.json")
    run_chain(small, tmp_path / "run", ["bleu", "rouge"])
    assert (tmp_path / "run" / "evaluation" / "val.json").exists()

    short = dataclasses.replace(small, decoding=config.Decoding(beam=1, max_length=3))
    capsys.readouterr()
    run_chain(short, tmp_path / "run", ["bleu"])
    captions = read_results(tmp_path / "run" / "evaluation" / "val_captions.json").values()
    assert "Trainer: unchanged" in capsys.readouterr().out
    assert all(len(caption.split()) <= 3 for caption in captions)
