"""Damage to the files that describe a prepared data set, and to its shards."""

import json
import shutil
import subprocess

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_sat.data.prepared import AGAIN, manifest_fingerprint, open_prepared
from keras_sat.data.reading import check_shards, reading, shard_fault
from keras_sat.data.shard_check import ShardCheck
from keras_sat.data.verification import data_faults
from keras_sat.exporting.verification import verify
from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import SUMS
from tests.support.json_changes import changed_places, junk


@pytest.fixture
def copy(data_folder, tmp_path):
    return shutil.copytree(data_folder, tmp_path / "copy")


@pytest.fixture(scope="module")
def described(data_folder, tmp_path_factory):
    """A copy of the files that describe the data set; shards are not needed to open it."""
    folder = tmp_path_factory.mktemp("described")
    for name in ("manifest.json", "statistics.json", "vocabulary.txt", "COMPLETED"):
        shutil.copy(data_folder / name, folder)
    return folder


def test_the_standard_tool_reads_the_hashes(data_folder):
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=data_folder, check=True
    )


def test_a_sound_data_set_has_no_faults(data):
    assert list(data_faults(data)) == []
    assert verify(data.folder) == ("data set", [])


def test_every_changed_or_lost_file_is_found_by_verify(copy):
    for name in [line.split("  ")[1] for line in (copy / SUMS).read_text().splitlines()]:
        path = copy / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-2] + b"~~")
        _, faults = verify(copy)
        assert faults and name in faults[0], (name, faults)
        path.write_bytes(whole)
    for name in ("schema.yaml", "manifest.json"):
        (copy / name).unlink()
        assert name in verify(copy)[1][0]


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("manifest.json", '"quantisation": "uint8"', '"quantisation": "float16"'),
        ("manifest.json", '"crops": 0', '"crops": 2'),
        ("statistics.json", '"unknown_words": ', '"unknown_words": 1'),
        ("vocabulary.txt", "a\n", "an\n"),
    ],
)
def test_a_changed_description_is_refused_on_opening(copy, name, old, new):
    text = (copy / name).read_text()
    assert old in text
    (copy / name).write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=rf"{name}: has changed since it was written.*{AGAIN}"):
        open_prepared(copy)


@pytest.mark.parametrize(
    "keys, value, key",
    [
        (["splits", "train", 0, "name"], "../outside", r"splits\.train\[0\]\.name"),
        (["splits", "train", 0, "bytes"], 1.5, r"splits\.train\[0\]\.bytes"),
        (["splits", "val"], [], r"splits\.val"),
        (["encoder", "feature_shape"], [8, 8], r"encoder\.feature_shape"),
        (["encoder", "image_size"], 0, r"encoder\.image_size"),
        (["vocabulary", "fingerprint"], None, r"vocabulary\.fingerprint"),
        (["settings", "crops"], True, r"settings\.crops"),
        (["format"], 0, "format"),
        (["format"], None, "format"),
    ],
)
def test_a_manifest_that_does_not_fit_names_the_key(described, keys, value, key):
    """The fingerprint is the right one, so that the schema alone can refuse it."""
    path = described / "manifest.json"
    before = path.read_text()
    manifest = json.loads(before)
    place = manifest
    for each in keys[:-1]:
        place = place[each]
    place[keys[-1]] = value
    try:
        path.write_text(json.dumps(manifest | {"fingerprint": manifest_fingerprint(manifest)}))
        with pytest.raises(UserError, match=rf"manifest\.json: {key}: "):
            open_prepared(described)
    finally:
        path.write_text(before)


def test_statistics_of_other_shards_are_refused(described):
    (described / SUMS).unlink(missing_ok=True)  # as an earlier version wrote it
    path = described / "statistics.json"
    before = path.read_text()
    statistics = json.loads(before)
    statistics["train"]["images"] += 1
    try:
        path.write_text(json.dumps(statistics))
        with pytest.raises(UserError, match=r"statistics\.json: train\.images: 41.*hold 40"):
            open_prepared(described)
    finally:
        path.write_text(before)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_whatever_stands_in_the_json_files_is_refused_in_one_line_or_usable(described, drawn):
    name = drawn.draw(st.sampled_from(["manifest.json", "statistics.json"]))
    path = described / name
    before = path.read_text()
    value = drawn.draw(changed_places(json.loads(before)) | junk())
    if name == "manifest.json" and isinstance(value, dict):
        value["fingerprint"] = manifest_fingerprint(value)  # the schema alone is tried
    try:
        path.write_text(json.dumps(value))
        use(open_prepared(described))
    except UserError as error:
        assert str(error).startswith(str(described)) and "\n" not in str(error)
    finally:
        path.write_text(before)


def use(data):
    """What commands ask of a data set before they read its shards."""
    assert all(size >= 1 for shape in data.input_shapes.values() for size in shape)
    assert data.quantisation in ("uint8", "float16")
    for split, shards in data.manifest["splits"].items():
        assert data.images(split) == sum(shard["images"] for shard in shards) > 0
        for shard in shards:
            assert (data.folder / shard["name"]).resolve().parent == data.folder.resolve()
        assert sum(data.statistics[split]["lengths"].values()) >= 0


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_bytes_that_are_no_json_are_refused_in_one_line(described, content):
    path = described / "statistics.json"
    before = path.read_bytes()
    try:
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"statistics\.json"):
            open_prepared(described)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("text", ["NaN", "1e999", "[" * 100_000, "Infinity", "9" * 5000])
def test_numbers_that_are_none_and_deep_nesting_are_refused(described, text):
    path = described / "statistics.json"
    before = path.read_text()
    try:
        path.write_text(text)
        with pytest.raises(UserError, match=r"statistics\.json: (not JSON|.* is not of type)"):
            open_prepared(described)
    finally:
        path.write_text(before)


# Shards


def test_a_flipped_byte_is_told_with_file_record_and_image(copy):
    shard = next(copy.glob("train-*.tfrecord"))
    whole = shard.read_bytes()
    ids = []
    offsets = [0]
    for record in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        ids.append(features["image/source_id"].bytes_list.value[0].decode())
        offsets.append(offsets[-1] + 16 + len(record))
    assert offsets[-1] == len(whole)
    for number in (1, 2, len(ids)):
        place = offsets[number] - 100  # in the data of the record, which ends with its checksum
        shard.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        expected = f"{shard}: record {number} is corrupt: image {ids[number - 1]}"
        with pytest.raises(UserError) as error, reading(open_prepared(copy), "val", "train"):
            for _ in tf.data.TFRecordDataset([str(shard)]):
                pass
        assert str(error.value) == f"{expected}; {AGAIN}"
        assert verify(copy)[1] == [expected]
    place = offsets[1] + 1  # in the length of the second record
    shard.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert f"record 2 is corrupt: image {ids[1]}" in shard_fault(shard)
    place = whole.index(b"image/source_id", offsets[1])  # where the record says its image's id
    shard.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert f"record 2 is corrupt: the image after {ids[0]}" in shard_fault(shard)
    shard.write_bytes(whole)
    check_shards([shard])


def test_a_record_that_is_no_image_is_told(tmp_path, data):
    [path] = data.shards("val")
    records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(tmp_path / "shard")) as writer:
        for record in (records[0], b"no example", records[1]):
            writer.write(record)
    assert "record 2 is corrupt: no image" in shard_fault(tmp_path / "shard")
    with tf.io.TFRecordWriter(str(tmp_path / "shard")) as writer:
        writer.write(records[0])
    assert "holds 1 images instead of 2" in shard_fault(tmp_path / "shard", 2)


def test_a_shard_of_other_records_is_found_beside_training(copy):
    """Its checksums are right and so is its size: only the hash tells."""
    data = open_prepared(copy)
    path = data.shards("train")[0]
    records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    with ShardCheck(data, ("train", "val")).running() as check:
        check.raise_if_damaged(wait=True)
    with tf.io.TFRecordWriter(path) as writer:
        for record in records[1:] + records[:1]:
            writer.write(record)
    assert shard_fault(path) is None
    check = ShardCheck(data, ("train", "val"))
    changed = rf"{path}: has changed since it was written"
    with check.running(), pytest.raises(UserError, match=changed):
        check.raise_if_damaged(wait=True)
