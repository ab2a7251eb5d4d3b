"""The commands as a user runs them: processes, exit codes, and one clear line per mistake."""

import csv
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_sat import config
from keras_sat.cli.commands import COMMANDS
from keras_sat.data.reading import read_records
from keras_sat.decoding.captioned import caption_split
from keras_sat.decoding.search import caption_function
from keras_sat.evaluation.results_file import read_results, write_results
from keras_sat.runs.loading import load_model
from tests.support.commands import assert_one_line, call
from tests.support.odd_pictures import encoded

MODULES = (
    *(each.module for each in COMMANDS.values() if not each.module.startswith("serving")),
    "pipeline.evaluator",
    "pipeline.infra_validator",
    "pipeline.pusher",
)
PROBE = """
import runpy, sys
sys.argv = ["x", "--help"]
try:
    runpy.run_module("MODULE", run_name="__main__")
finally:
    assert not {"tensorflow", "apache_beam", "keras"} & set(sys.modules)
"""


@pytest.mark.parametrize("module", MODULES)
def test_help_imports_no_tensorflow(module):
    probe = PROBE.replace("MODULE", module)
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout.startswith("usage: "), result.stderr


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["--model", "sofft"], ["sofft", "did you mean soft"]),
        (["--set", "train.epoch=3"], ["train.epoch", "epochs"]),
        (["--config", "nowhere.yaml"], ["nowhere.yaml"]),
        (["--data", "nowhere/scenes"], ["nowhere/scenes", "keras-sat prepare"]),
        (["--data", "nowhere"], ["nowhere", "keras-sat prepare"]),
        (
            ["--set", "data.path=data/my_typo"],
            ["data/my_typo: no such data set", "--dataset scenes --output data/my_typo"],
        ),
        (
            ["--config", "configs/xu_flickr8k_soft.yaml", "--set", "data.path=nowhere"],
            [
                "nowhere: no such",
                "keras-sat prepare --config configs/xu_flickr8k_soft.yaml --output nowhere",
            ],
        ),
    ],
)
def test_configuration_mistakes_come_before_tensorflow(arguments, parts, tmp_path):
    assert_one_line(call("keras_sat.train", *arguments, "--run", tmp_path / "run"), *parts)
    assert not (tmp_path / "run").exists()


def test_mistakes_of_preparation(tmp_path):
    output = ["--output", tmp_path / "data"]
    assert_one_line(call("pipeline.prepare", "--dataset", "cocoa", *output), "cocoa", "scenes")
    assert_one_line(call("pipeline.prepare", "--source", "many", *output), "many: no such folder")
    drawn = ["--dataset", "scenes", "--source", "many"]
    assert_one_line(call("pipeline.prepare", *drawn, *output), "many", "train=3000")
    assert_one_line(
        call("pipeline.prepare", "--direct_num_wokers=2", *output),
        "direct_num_wokers",
        "direct_num_workers",
    )
    small = ["--source", "train=4", "--encoder", "MobileNetV2"]
    small += ["--weights", "none", "--image-size", 64]
    assert_one_line(
        call("pipeline.prepare", *small, "--layer", "blok", *output), "blok", "did you mean block"
    )
    assert not (tmp_path / "data").exists()


def test_a_full_disk_while_preparing(tmp_path):
    """No file may grow beyond 20 kB, as with a quota or a full disk. The first chunk is larger."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    arguments = ["--source", "train=40", "--weights", "none", "--output", tmp_path / "data"]
    assert_one_line(call("pipeline.prepare", *arguments, preexec_fn=limit), tmp_path, "space")
    assert not (tmp_path / "data").exists()
    assert not [path for path in tmp_path.rglob("*.tfrecord")], (
        "half-written files carry no final name"
    )


def test_a_full_disk_while_training(run, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "run")
    before = {
        path: path.read_bytes() for path in (folder / "checkpoints").rglob("*") if path.is_file()
    }

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))

    arguments = ["--config", folder / "config.yaml", "--data", run.experiment.data.path]
    arguments += ["--run", folder, "--set", "train.epochs=3"]
    assert_one_line(call("keras_sat.train", *arguments, preexec_fn=limit), tmp_path, "space")
    for path, content in before.items():
        assert path.read_bytes() == content, "the last good checkpoint must survive"


def test_a_corrupt_shard_while_training(data_folder, experiment, tmp_path):
    folder = shutil.copytree(data_folder, tmp_path / "data")
    shard = next(folder.glob("train-*.tfrecord"))
    content = shard.read_bytes()
    shard.write_bytes(content[:9000] + b"x" + content[9001:])
    path = tmp_path / "experiment.yaml"
    path.write_text(config.to_yaml(experiment))
    assert_one_line(
        call("keras_sat.train", "--config", path, "--data", folder, "--run", tmp_path / "run"),
        shard,
        "corrupt",
    )


def test_a_corrupt_shard_while_evaluating(run, data_folder, tmp_path):
    folder = shutil.copytree(data_folder, tmp_path / "data")
    shard = next(folder.glob("test-*.tfrecord"))
    content = shard.read_bytes()
    shard.write_bytes(content[:9000] + b"x" + content[9001:])
    assert_one_line(
        call("keras_sat.evaluate", "--run", run.folder, "--data", folder), shard, "corrupt"
    )


def test_evaluate_a_run_and_captions_of_another_program_side_by_side(run, data, tmp_path):
    references = {record.source_id: record.captions for record in read_records(data, "test")}
    results = tmp_path / "others.json"
    write_results(results, {image: texts[0] for image, texts in references.items()})
    output = ["--output", tmp_path / "comparison"]
    result = call(
        "keras_sat.evaluate", "--run", run.folder, "--results", results, "--gallery", *output
    )
    assert result.returncode == 0, result.stderr
    for label in ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D", "Words per caption"):
        cells = re.search(rf"^\| {label} \| (.*) \| (.*) \|$", result.stdout, re.MULTILINE).groups()
        assert all(re.fullmatch(r"\d+\.\d \(\d+\.\d to \d+\.\d\)", cell) for cell in cells), cells
    assert re.search(r"best possible over these regions \| \d+\.\d \(.*\) \|  \|", result.stdout), (
        "it has no attention"
    )

    folder = run.folder / "evaluation"
    written = json.loads((folder / "test.json").read_text())
    scores = written["scores"]
    assert config.Decoding(**written["decoding"]) == run.experiment.decoding
    assert read_results(folder / "test_captions.json").keys() == references.keys()
    assert "<canvas>" in (folder / "test_gallery.html").read_text(encoding="utf-8")
    with open(folder / "test_images.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(float(row["cider"]) for row in rows) / len(rows) == pytest.approx(
        scores["cider"], abs=1e-5
    )
    assert {row["image"]: int(row["references"]) for row in rows} == {
        name: len(each) for name, each in references.items()
    }

    table = json.loads((tmp_path / "comparison" / "table.json").read_text())
    own = table["systems"][run.folder.name]
    others = table["systems"][str(results)]
    assert own["scores"] == scores and others["scores"]["bleu4"] == pytest.approx(1)
    difference, low, high = table["differences"][str(results)]["bleu4"]
    assert difference == pytest.approx(1 - scores["bleu4"]) and low <= difference <= high


def test_mistakes_of_evaluate(run, data_folder, tmp_path):
    assert_one_line(call("keras_sat.evaluate"), "--run", "--results")
    assert_one_line(
        call("keras_sat.evaluate", "--run", tmp_path / "nowhere"), "nowhere", "keras-sat train"
    )
    assert_one_line(
        call("keras_sat.evaluate", "--run", run.folder, "--split", "dev"), "dev", "train, val, test"
    )
    assert_one_line(
        call("keras_sat.evaluate", "--run", run.folder, "--metrics", "blue"), "blue", "bleu"
    )
    results = tmp_path / "others.json"
    arguments = ["--results", results, "--data", data_folder]
    assert_one_line(call("keras_sat.evaluate", *arguments), results, "cannot be read")
    write_results(results, {"val-000001": "a red ring"})
    assert_one_line(call("keras_sat.evaluate", *arguments), results, "val-000001", "--split val")


def test_captions_with_fewer_regions_are_compared(run, tmp_path):
    settings = ["--beam", "2", "--set", "decoding.min_length=6", "--set", "decoding.max_length=6"]
    arguments = ["--run", run.folder, "--metrics", "cider", "--split", "val", *settings]
    result = call("keras_sat.regions", *arguments, "--counts", "1,4")
    assert result.returncode == 0, result.stderr
    folder = run.folder / "evaluation" / "val_regions"
    systems = json.loads((folder / "table.json").read_text())["systems"]
    assert all(each["scores"]["length"] == 6 for each in systems.values())
    assert {name: each["scores"]["regions"] for name, each in systems.items()} == {
        "test_stride=4": 4,
        "test_stride=1": 64,
    }
    assert (folder / "plot.png").stat().st_size > 0 and (folder / "table.md").exists()
    fewer = ["--counts", "4", "--limit", "2", "--output", tmp_path / "elsewhere"]
    result = call("keras_sat.regions", *arguments, *fewer)
    assert result.returncode == 0 and (tmp_path / "elsewhere" / "table.json").exists(), (
        result.stderr
    )
    assert_one_line(
        call("keras_sat.regions", "--run", run.folder, "--counts", "9"),
        "--counts 9",
        "between 1 and 8",
    )
    assert_one_line(
        call("keras_sat.regions", "--run", run.folder, "--counts", "few"), "--counts few"
    )


def test_caption_files_as_the_test_split(run, data, vocabulary, tmp_path):
    """A picture from a file gets the caption that evaluation gives it from stored features."""
    model = load_model(run)
    generate = caption_function(model, run.experiment.decoding)
    expected = {
        c.source_id: c.caption for c in caption_split(generate, model, data, "test", vocabulary)
    }
    paths = []
    for record in read_records(data, "test", 3):
        paths.append(tmp_path / f"{record.source_id}.png")
        paths[-1].write_bytes(record.encoded)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    pictures = [*paths, broken, "--overlay", tmp_path / "where.pdf"]
    result = call("keras_sat.caption", "--run", run.folder, *pictures)
    assert_one_line(result, broken, "not a picture: 10 bytes")
    lines = dict(line.split("\t") for line in result.stdout.splitlines())
    assert lines == {str(path): expected[path.stem] for path in paths}
    for number in (1, 2, 3):
        assert (tmp_path / f"where-{number}.pdf").read_bytes().startswith(b"%PDF")


def test_caption_a_folder_and_standard_input_as_json(run, data, tmp_path):
    [record] = read_records(data, "test", 1)
    folder = tmp_path / "photos"
    folder.mkdir()
    image = Image.open(io.BytesIO(record.encoded))
    for name, options in (("a.png", {}), ("b.webp", {"lossless": True}), ("c.tif", {})):
        image.save(folder / name, **options)
    cut = encoded("RGB", "JPEG", quality=95)[:-300]
    (folder / "d.jpg").write_bytes(cut)
    command = [sys.executable, "-W", "ignore", "-m", "keras_sat.caption", "--json"]
    command += ["--run", run.folder, folder, "-", tmp_path / "nowhere.png"]
    command += ["--overlay", tmp_path / "overlays"]
    result = subprocess.run(
        [str(each) for each in command], input=record.encoded, capture_output=True
    )
    assert result.returncode == 2 and b"Traceback" not in result.stderr, result.stderr.decode()
    found = {}
    for line in result.stdout.decode().splitlines():
        described = json.loads(line)
        found[Path(described["image"]).name] = described
    assert list(found) == ["nowhere.png", "a.png", "b.webp", "c.tif", "d.jpg", "-"]
    assert found["nowhere.png"]["status"].endswith("nowhere.png: No such file or directory")
    assert "not decodable: a damaged, cut off or unusual JPEG" in found["d.jpg"]["status"]
    for name in ("a.png", "b.webp", "c.tif", "-"):
        assert found[name]["status"] == "OK"
        assert found[name]["captions"] == found["a.png"]["captions"], "they hold the same pixels"
        assert found[name]["scores"] == found["a.png"]["scores"]
        assert Image.open(found[name]["overlay"]).format == "PNG"
        assert np.shape(found[name]["attention"]) == (len(found[name]["words"]), 64)
    errors = [line for line in result.stderr.decode().splitlines() if line.startswith("error:")]
    assert len(errors) == 2


def test_pictures_that_do_not_exist_are_named_before_tensorflow_is_loaded(run, tmp_path):
    probe = PROBE.replace('["x", "--help"]', "sys.argv[1:]").replace("MODULE", "keras_sat.caption")
    arguments = ["x", "--run", run.folder, tmp_path / "boat.jpg", tmp_path]
    (tmp_path / "boot.jpg").write_bytes(b"")
    result = subprocess.run(
        [sys.executable, "-c", probe, *map(str, arguments)], capture_output=True, text=True
    )
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    assert result.stderr.splitlines() == [
        f"error: {tmp_path}/boat.jpg: No such file or directory; did you mean {tmp_path}/boot.jpg?",
        f"error: {tmp_path}/boot.jpg: empty file: 0 bytes",
    ]


def test_wrong_pythons_are_refused_in_one_line(tmp_path):
    script = Path(__file__).parents[2] / "environment.sh"
    fake = tmp_path / "python3"
    for body, part in [
        ("exit 1", "3.11"),
        ('case "$2" in *sys.version*) exit 0;; *) exit 1;; esac', "python3-venv"),
    ]:
        fake.write_text(f"#!/bin/sh\n{body}\n")
        fake.chmod(0o755)
        result = subprocess.run(
            ["sh", str(script), str(tmp_path / "venv")],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHON": str(fake)},
        )
        assert (
            result.returncode == 1
            and part in result.stderr
            and len(result.stderr.splitlines()) == 1
        )
        assert not (tmp_path / "venv").exists()
