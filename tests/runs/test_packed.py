"""Packed files of any run's layout: what is written reads back, and what was changed is refused."""

import io
import json
import stat
import zipfile

import numpy as np
import pytest

from keras_sat.encoder.trust import check_trusted
from keras_sat.runs.packed import unpacked, write_packed
from keras_sat.runs.run import create_run, open_run
from keras_sat.utils.errors import UserError

CNN = {"module": "keras.layers", "class_name": "Conv2D", "config": {"units": [3, None]}}
WEIGHTS = "checkpoints/best/ckpt-7.data-00000-of-00001"


def keras_file(config):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
    return file.getvalue()


PARTS = {
    "config.yaml": b"seed: 1\n",
    "run.json": b"{}",
    "vocabulary.txt": b"a\ndog\n",
    "encoder.keras": keras_file(CNN),
    "checkpoints/best/checkpoint": b'model_checkpoint_path: "ckpt-7"\n',
    "checkpoints/best/ckpt-7.index": b"index",
    WEIGHTS: bytes(range(256)),
    "evaluation/test.json": b'{"scores": {}}',
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def packed(tmp_path, name="a.ksat", **changes):
    """A packed run of PARTS; a change of None leaves the part out."""
    files = {}
    for number, (part, content) in enumerate((PARTS | changes).items()):
        if content is not None:
            files[part] = tmp_path / f"part{number}"
            files[part].write_bytes(content)
    path = tmp_path / name
    write_packed(path, "a", files, {"card.json": "{}"})
    return path


def test_what_is_packed_reads_back(tmp_path):
    path = packed(tmp_path)
    folder = unpacked(path)
    assert folder.name == "a"
    for part, content in PARTS.items():
        assert (folder / part).read_bytes() == content
    assert unpacked(path) == folder
    assert zipfile.ZipFile(path).testzip() is None, "it is a plain zip"


def test_equal_runs_make_equal_files(tmp_path):
    assert packed(tmp_path).read_bytes() == packed(tmp_path, "b.ksat").read_bytes()


def test_any_changed_byte_is_refused(tmp_path):
    path = packed(tmp_path)
    good = path.read_bytes()
    places = np.random.default_rng(0).permutation(len(good))[:150]
    unpacked(path)  # a good copy in the cache changes nothing
    for place in [*places, *range(1, 100, 9), *range(len(good) - 90, len(good), 7)]:
        data = bytearray(good)
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises(UserError) as caught:
            unpacked(path)
        assert str(caught.value).startswith(f"{path}: "), place


@pytest.mark.parametrize("part", PARTS)
def test_the_part_with_the_changed_byte_is_named(tmp_path, part):
    path = packed(tmp_path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        header = archive.getinfo(part).header_offset
    data[header + 30 + len(part)] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"its part {part} was changed"):
        unpacked(path)


def test_a_cut_file_and_other_files_are_refused(tmp_path):
    path = packed(tmp_path)
    content = path.read_bytes()
    for wrong in (b"", b"this is text", content[:-1], content[: len(content) // 2], content + b"x"):
        path.write_bytes(wrong)
        with pytest.raises(UserError, match=r"a\.ksat: "):
            open_run(path)


@pytest.mark.parametrize(
    "name", ["../evil.json", "/tmp/evil.json", "evaluation/../../evil.json", "evil.py", "a\\b"]
)
def test_parts_that_are_no_runs_files_are_refused(tmp_path, cache, name):
    path = packed(tmp_path, **{name: b"evil"})
    with pytest.raises(UserError, match="does not belong in a packed run"):
        unpacked(path)
    assert not cache.exists()


def test_missing_and_doubled_parts_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"its part vocabulary\.txt is missing"):
        unpacked(packed(tmp_path, **{"vocabulary.txt": None}))
    path = packed(tmp_path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("run.json", "{}")
    with pytest.raises(UserError, match="twice"):
        unpacked(path)


@pytest.mark.parametrize(
    "encoder",
    [
        keras_file({"config": [{"module": "keras.layers", "class_name": "Lambda"}]}),
        keras_file({"layers": {"x": {"module": "os", "class_name": "system"}}}),
        keras_file({"module": "keras_evil", "class_name": "Layer"}),
        b"\x89HDF\r\n\x1a\n" + bytes(100),
    ],
)
def test_a_cnn_that_could_run_code_is_refused(tmp_path, encoder):
    folder = unpacked(packed(tmp_path, **{"encoder.keras": encoder}))
    with pytest.raises(UserError, match="--trust-encoder"):
        check_trusted(folder / "encoder.keras")


def test_a_damaged_cache_is_mended_and_an_evaluation_in_it_stays(tmp_path):
    path = packed(tmp_path)
    folder = unpacked(path)
    (folder / WEIGHTS).write_bytes(b"damaged")
    (folder / "vocabulary.txt").unlink()
    (folder / "evaluation" / "test.json").write_bytes(b"newer")
    assert unpacked(path) == folder
    assert (folder / WEIGHTS).read_bytes() == PARTS[WEIGHTS]
    assert (folder / "vocabulary.txt").read_bytes() == PARTS["vocabulary.txt"]
    assert (folder / "evaluation" / "test.json").read_bytes() == b"newer"


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_packed(tmp_path / "a.ksat", "a", {"run.json": tmp_path / "nowhere"}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path, cache):
    cache.write_text("a file where a folder should be")
    with pytest.raises(UserError, match="XDG_CACHE_HOME"):
        unpacked(packed(tmp_path))


def test_parts_are_ordinary_files(tmp_path):
    folder = unpacked(packed(tmp_path))
    assert all(stat.S_ISREG(path.stat().st_mode) for path in folder.rglob("*.*") if path.is_file())


def test_a_packed_run_cannot_be_trained_further(tmp_path):
    path = packed(tmp_path)
    with pytest.raises(UserError, match=f"init_from={path}"):
        create_run(path, None, None)


def test_the_run_that_may_have_been_meant_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "demo" / "runs" / "scenes_soft"
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    for near in ("runs/scenes_soft", "scenes_sofft", "demo/runs/scenes_sot"):
        with pytest.raises(UserError, match=r"did you mean demo/runs/scenes_soft\?"):
            open_run(near)
    with pytest.raises(UserError, match=r"train one: keras-sat train --run elsewhere"):
        open_run("elsewhere")
