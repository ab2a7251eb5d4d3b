"""The client's class and the two commands, against a real server."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from serving import load_test
from serving.client import CaptionClient
from serving.client.__main__ import main
from tests.support.saved_model import picture


@pytest.fixture(scope="module")
def client(server):
    with CaptionClient(server.address, batch=3) as client:
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(4):
        (folder / f"{seed}.png").write_bytes(picture(seed))
    (folder / "notes.txt").write_text("no picture")
    return folder


def as_text(array):
    """An array of bytes as lists of strings."""
    return np.char.decode(array.astype(bytes)).tolist()


def test_caption_attend_score(client, direct):
    black = io.BytesIO()
    Image.new("RGB", (4, 4)).save(black, "bmp")
    assert black.getvalue().endswith(b"\0"), "zeros at the end belong to the picture"
    images = [*(picture(seed) for seed in range(6)), b"broken", black.getvalue()]
    expected = direct("caption_with_attention", image_bytes=images)
    captions = client.caption(images)
    attended = client.attend(images)
    assert [answer.caption for answer in captions] == [answer.captions[0] for answer in attended]
    assert [answer.caption for answer in captions] == as_text(expected["captions"][:, 0])
    statuses = ["OK"] * 6 + ["not a picture that can be read", "OK"]
    assert [answer.status for answer in captions] == statuses
    attention = np.stack([answer.attention for answer in attended])
    np.testing.assert_array_equal(attention, expected["attention"])
    assert [answer.words for answer in attended] == as_text(expected["words"])
    [scored] = client.score(images[:1], ["red green"])
    assert scored.words == ["red", "green"]
    assert scored.word_log_probs.shape == (2,)
    assert scored.attention.shape == (2, 4)
    assert client.inputs("score_caption") == {"image_bytes": [-1], "caption": [-1]}


def test_requests_are_bounded_in_number_and_size(server):
    kilobytes = [300, 300, 500, 300, 2000, 10, 10, 10, 10, 10]
    images = [bytes(size << 10) for size in kilobytes]
    with CaptionClient(server.address, batch=4, megabytes=1) as client:
        requests = [list(each) for each in client._requests(images)]
    assert requests == [[0, 1], [2, 3], [4], [5, 6, 7, 8], [9]]


def test_command(server, client, folder, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    Image.open(io.BytesIO(picture(9))).save(tmp_path / "9.webp", lossless=True)
    images = [
        tmp_path / "9.webp",
        folder,
        folder / "0.png",
        "-",
        tmp_path / "broken.jpg",
        tmp_path / "nowhere.jpg",
    ]
    arguments = [*map(str, images), "--server", server.address]
    command = [sys.executable, "-W", "ignore", "-m", "serving.client", *arguments]
    result = subprocess.run(command, capture_output=True, input=picture(9))
    assert result.returncode == 2
    lines = dict(line.split("\t") for line in result.stdout.decode().splitlines())
    [stdin] = client.caption([picture(9)])
    assert lines["-"] == stdin.caption == lines[str(tmp_path / "9.webp")]
    answers = client.caption([picture(seed) for seed in range(4)])
    printed = [lines[str(folder / f"{number}.png")] for number in range(4)]
    assert printed == [answer.caption for answer in answers]
    errors = result.stderr.decode().splitlines()
    assert len(errors) == 2
    assert "nowhere.jpg: No such file" in errors[0]
    assert "broken.jpg: not a picture: 6 bytes that are no JPEG" in errors[1]


def test_command_draws_and_prints_json(server, folder, tmp_path, capsys):
    arguments = [str(folder), "--server", server.address]
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--json", "--overlay", str(tmp_path / "where.png")])
    assert end.value.code == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["image"] for each in found] == [str(folder / f"{n}.png") for n in range(4)]
    assert np.shape(found[0]["attention"]) == (4, 4)
    assert found[0]["status"] == "OK"
    for number in range(1, 5):
        assert Image.open(tmp_path / f"where-{number}.png").width > 300


def test_only_the_overlay_needs_keras_sat(server, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_sat.visualize.attention", None)
    arguments = [str(folder / "0.png"), "--server", server.address]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"{folder / '0.png'}\t")
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--overlay", str(tmp_path / "where.png")])
    assert end.value.code == 2
    assert "error: --overlay: draws with keras_sat" in capsys.readouterr().err


def test_boxes_are_padded_to_the_models_number(server, folder, tmp_path, capsys):
    boxes = [np.random.default_rng(m).random([m, 4], np.float32) for m in (1, 4, 6)]
    with CaptionClient(server.address, model="proposals") as client:
        attended = client.attend([picture(0)] * 3, boxes)
    for given, answer in zip(boxes, attended):
        np.testing.assert_array_equal(answer.boxes[: len(given)], given[:4])
        assert not answer.boxes[len(given) :].any()
    names = [str(folder / "0.png"), str(folder / "1.png")]
    with (
        CaptionClient(server.address) as client,
        pytest.raises(ValueError, match="captioner: its captioner takes no boxes"),
    ):
        client.caption([picture(0)], boxes[:1])
    lines = [json.dumps({"id": name, "boxes": [[0, 0, 0.5, 1]]}) for name in names]
    file = tmp_path / "boxes.jsonl"
    file.write_text("\n".join(lines) + "\n")
    arguments = ["--server", server.address, "--model", "proposals", "--boxes", str(file)]
    with pytest.raises(SystemExit) as end:
        main([*names, *arguments, "--json", "--overlay", str(tmp_path / "where.png")])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert end.value.code == 0
    assert [each["boxes"][0] for each in found] == [[0, 0, 0.5, 1]] * 2
    with pytest.raises(SystemExit):
        main([str(folder), *arguments])
    assert "no boxes of" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, part",
    [
        (["--model", "nobody"], "NOT_FOUND"),
        (["--server", "localhost:1", "--deadline", "1"], "UNAVAILABLE"),
        (["--root-certificates", "nowhere.pem"], "nowhere.pem"),
        (["--boxes", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--batch", "0"], "--batch and --max-megabytes must be 1 or more"),
    ],
)
def test_mistakes_of_the_command(server, folder, arguments, part, capsys):
    with pytest.raises(SystemExit) as end:
        main([str(folder), "--server", server.address, *arguments])
    line = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2
    assert line.startswith("error: ")
    assert part in line


def test_load(server, folder, tmp_path):
    arguments = [str(folder), "--server", server.address, "--batch", "2"]
    arguments += ["--rate", "40", "--seconds", "2"]
    load_test.main([*arguments, "--output", str(tmp_path / "load")])
    report = json.loads((tmp_path / "load.json").read_text())
    assert report["requests"] > 40
    assert report["by status"] == {"OK": report["requests"]}
    assert report["latency p50, ms"] <= report["latency p95, ms"] <= report["latency p99, ms"]
    assert Image.open(tmp_path / "load.png").width > 300
