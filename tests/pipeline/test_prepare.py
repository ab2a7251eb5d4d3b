import hashlib
import itertools
import json
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_sat.data import scenes
from keras_sat.data.prepared import open_prepared
from keras_sat.data.quantisation import dequantise
from keras_sat.data.reading import read_records
from keras_sat.encoder.cnn import load_encoder
from keras_sat.encoder.inputs import random_crop
from keras_sat.pictures.decode import decode_image
from keras_sat.text.tokeniser import split
from keras_sat.text.vocabulary import Vocabulary
from keras_sat.utils.claim import claimed, reading
from keras_sat.utils.errors import UserError
from keras_sat.utils.files import atomic
from pipeline.preparation import artifacts, manifest, transform
from pipeline.preparation.beam_runner import beam_options
from pipeline.preparation.prepare import prepare
from tests.support.corpora import digests
from tests.support.rounding import assert_close
from tests.support.settings import small_prepare


def test_two_runs_give_equal_bytes(data_folder, tmp_path):
    prepare(small_prepare(), tmp_path / "again")
    assert digests(tmp_path / "again") == digests(data_folder)
    assert not list(tmp_path.glob(".*.partial")), "the work folder is gone"


def test_features_are_the_encoders(data):
    encoder = load_encoder(data.folder / "encoder.keras")
    for record in read_records(data, "val"):
        expected = encoder(decode_image(record.encoded, 128)[None])[0].numpy()
        values, minimum, scale = record.features
        found = dequantise(values.reshape(64, -1), minimum, scale).numpy().reshape(expected.shape)
        assert np.linalg.norm(found - expected) < 0.01 * np.linalg.norm(expected)
    assert 0 < data.manifest["encoder"]["relative_error"] < 0.01


def test_other_views_are_the_features_of_the_flip_and_of_crops(mirrored_data):
    """Only training pictures have them. Crops 1 and 3 are flipped, and no two views are alike."""
    encoder = load_encoder(mirrored_data.folder / "encoder.keras")
    section = mirrored_data.manifest["encoder"]
    for record in read_records(mirrored_data, "train"):
        whole = decode_image(record.encoded, 128)
        seed = [1, zlib.crc32(record.source_id.encode())]
        crops = [random_crop(record.encoded, section, [*seed, number]) for number in range(3)]
        assert all(
            np.mean(np.abs(np.float32(a) - b)) > 1
            for a, b in itertools.combinations([whole.numpy(), *crops], 2)
        )
        for pixels, (values, minimum, scale) in (
            ([whole], record.features),
            ([whole[:, ::-1]], record.mirrored_features),
            ([crops[0][:, ::-1], crops[1], crops[2][:, ::-1]], record.cropped_features),
        ):
            expected = encoder(tf.stack(pixels)).numpy().reshape(64 * len(pixels), -1)
            found = dequantise(values.reshape(64 * len(pixels), -1), minimum, scale).numpy()
            assert np.linalg.norm(found - expected) < 0.01 * np.linalg.norm(expected)
    for record in read_records(mirrored_data, "val"):
        assert record.mirrored_features is None and record.cropped_features is None


def test_records_are_the_sources(data):
    ids = {f"val-{index:06d}" for index in range(8)}
    records = {record.source_id: record for record in read_records(data, "val")}
    assert set(records) == ids
    for name, record in records.items():
        scene = scenes.draw(name, seed=1)
        assert (record.captions, record.encoded) == (scene.captions, scene.image)
        assert [(p.caption, p.start, p.end, p.noun) for p in record.phrases] == [
            (p.caption, p.start, p.end, p.noun) for p in scene.phrases
        ]
        assert_close([p.box for p in record.phrases], [p.box for p in scene.phrases], roundings=1)


def test_statistics_and_vocabulary_are_a_recount(data, vocabulary):
    for name, images in (("train", 40), ("val", 8), ("test", 8)):
        captions = [text for record in read_records(data, name) for text in record.captions]
        words = split(captions).to_list()
        found = data.statistics[name]
        assert (found["images"], found["captions"]) == (images, 5 * images)
        assert (
            found["tokens"]
            == sum(map(len, words))
            == sum((int(n) - 1) * c for n, c in found["lengths"].items())
        )
        unknown = sum(
            word.decode() not in vocabulary.words for caption in words for word in caption
        )
        assert found["unknown_share"] == pytest.approx(unknown / found["tokens"], abs=1e-6)
        if name == "train":
            assert {word.decode() for caption in words for word in caption} == set(
                vocabulary.words[4:]
            )


def test_minimum_count_and_maximum_size(tmp_path):
    prepare(small_prepare(min_count=20, max_size=12), tmp_path / "data")
    assert len(Vocabulary.load(tmp_path / "data" / "vocabulary.txt")) == 12
    assert open_prepared(tmp_path / "data").statistics["train"]["unknown_share"] > 0.3


class Interrupted(Exception):
    pass


def test_an_interrupted_job_resumes_and_gives_the_same_bytes(data_folder, tmp_path, monkeypatch):
    """Killed after three chunks of features: they are kept, and all bytes are equal."""
    write = artifacts.write_chunk
    computed = []

    def failing(path, serialized, sidecar):
        if "/features/" in path:
            computed.append(path)
            if len(computed) == 4:
                raise Interrupted("killed")
        write(path, serialized, sidecar)

    monkeypatch.setattr(artifacts, "write_chunk", failing)
    with pytest.raises(Exception, match="killed"):
        prepare(small_prepare(), tmp_path / "data", ["--direct_num_workers=1"])
    assert not (tmp_path / "data").exists()
    prepare(small_prepare(), tmp_path / "data")
    assert digests(tmp_path / "data") == digests(data_folder)
    assert len(set(computed[:3]) & set(computed[4:])) == 0, "finished chunks were computed again"


def test_a_job_killed_twice_gives_the_same_bytes(tmp_path):
    """kill -9, once while reading and once in the CNN: finished files stay, all bytes are equal."""
    command = [sys.executable, "-m", "pipeline.prepare", "--source", "train=240,val=16"]
    command += ["--weights", "none"]
    command += ["--set", "chunk_images=8", "--output", str(tmp_path / "killed")]
    finished = {}
    for stage in ("examples", "features"):
        folder = tmp_path / ".killed.partial" / stage
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(folder.glob("*.json"))) < 3:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
        assert not (tmp_path / "killed").exists()
        assert all(path.stat().st_mtime_ns == written for path, written in finished.items()), (
            "computed again"
        )
        chunks = [path.with_suffix(".tfrecord") for path in folder.glob("*.json")]
        finished |= {path: path.stat().st_mtime_ns for path in chunks}
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0
    prepare(small_prepare(source="train=240,val=16", min_count=5), tmp_path / "undisturbed")
    assert digests(tmp_path / "killed") == digests(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    "flags",
    ["--direct_num_workers=1", "--direct_running_mode=multi_threading --direct_num_workers=3"],
)
def test_any_workers_give_the_same_bytes(data_folder, tmp_path, flags):
    prepare(small_prepare(), tmp_path / "data", flags.split())
    assert digests(tmp_path / "data") == digests(data_folder)


def test_a_second_call_changes_nothing_and_other_settings_are_refused(
    data_folder, tmp_path, capsys
):
    before = digests(data_folder)
    prepare(small_prepare(), data_folder)
    assert "already prepared" in capsys.readouterr().out
    with pytest.raises(UserError, match="other settings"):
        prepare(small_prepare(seed=2), data_folder)
    manifest = json.loads((data_folder / "manifest.json").read_text())
    del manifest["settings"]["mirror"]  # as written before this setting existed
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "COMPLETED").touch()
    (tmp_path / "older" / "manifest.json").write_text(json.dumps(manifest))
    prepare(small_prepare(), tmp_path / "older")
    with pytest.raises(UserError, match="other settings"):
        prepare(small_prepare(mirror=True), tmp_path / "older")
    leftover = data_folder.parent / f".{data_folder.name}.partial"
    leftover.mkdir()  # killed between its last two steps
    prepare(small_prepare(), data_folder)
    assert not leftover.exists()
    assert digests(data_folder) == before


def test_shards_are_cut_by_size_without_losing_order(tmp_path):
    chunks = {}
    for index in range(7):
        path = str(tmp_path / f"train-{index:05d}-of-00007.tfrecord")
        records = [f"{index}/{n}".encode() * 10 for n in range(5)]
        artifacts.write_chunk(path, records, {"images": 5, "records": sum(map(len, records))})
        chunks[path] = artifacts.read_json(artifacts.sidecar_of(path))
    (tmp_path / "out").mkdir()
    shards = transform.write_shards(chunks, str(tmp_path / "out"), 400, beam_options([]))
    names = [shard["name"] for shard in shards["train"]]
    assert (
        len(names) == 3
        and [shard["images"] for shard in shards["train"]] == [10, 15, 10]
        and names == sorted(path.name for path in (tmp_path / "out").iterdir())
    )
    read = [r for name in names for r in artifacts.read_records(str(tmp_path / "out" / name))]
    assert read == [f"{index}/{n}".encode() * 10 for index in range(7) for n in range(5)]
    assert sum(shard["images"] for shard in shards["train"]) == 35


def test_shards_smaller_than_a_chunk_and_empty_chunks(tmp_path):
    chunks = {}
    for index, count in enumerate([3, 0, 3]):
        path = str(tmp_path / f"val-{index:05d}-of-00003.tfrecord")
        artifacts.write_chunk(path, [b"x" * 500] * count, {"images": count, "records": 500 * count})
        chunks[path] = artifacts.read_json(artifacts.sidecar_of(path))
    (tmp_path / "out").mkdir()
    shards = transform.write_shards(chunks, str(tmp_path / "out"), 200, beam_options([]))
    assert [shard["images"] for shard in shards["val"]] == [3, 3]


def test_odd_folder_names(tmp_path):
    artifacts.write_chunk(f"{tmp_path}/train-00000-of-00001.tfrecord", [], {"images": 0})
    odd = tmp_path.rename(tmp_path.with_name("s[1] *"))
    assert len(artifacts.finished_chunks(str(odd))) == 1


def test_two_processes_do_not_make_the_same_data_set(tmp_path):
    others = claimed(tmp_path / "data", "preparation")
    with others, pytest.raises(UserError, match="preparation since"):
        prepare(small_prepare(), tmp_path / "data")


def test_what_a_training_reads_is_not_prepared_anew(tmp_path):
    """Somebody removed the data set, and prepares another one in its place."""
    with reading(tmp_path / "data", "training"), pytest.raises(UserError, match="training since"):
        prepare(small_prepare(), tmp_path / "data")
    assert not (tmp_path / ".data.partial").exists()


def test_quantisation_that_changes_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "MOST_ERROR", 1e-5)
    with pytest.raises(UserError, match="--quantisation"):
        prepare(small_prepare(source="train=4"), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(Interrupted), atomic(str(tmp_path / "file")) as temporary:
        temporary.write_text("half")
        raise Interrupted
    assert not list(tmp_path.iterdir())


def test_manifest_describes_the_folder(data):
    assert (
        json.loads((data.folder / "manifest.json").read_text())["fingerprint"]
        == (data.folder / "COMPLETED").read_text().strip()
    )
    for name in data.manifest["splits"]:
        for shard, path in zip(data.manifest["splits"][name], data.shards(name)):
            assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == shard["sha256"]
