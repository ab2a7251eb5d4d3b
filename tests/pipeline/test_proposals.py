import dataclasses
import json

import numpy as np
import pytest

from keras_sat.data import input_pipeline
from keras_sat.data.prepared import open_prepared
from keras_sat.data.quantisation import dequantise
from keras_sat.data.reading import read_records
from keras_sat.encoder.cnn import enlarged, load_encoder
from keras_sat.encoder.inputs import picture_inputs
from keras_sat.pictures.boxes import pad_boxes
from keras_sat.pictures.decode import decode_image
from keras_sat.pictures.proposals import propose
from keras_sat.utils.errors import UserError
from pipeline import prepare as command
from pipeline.preparation.prepare import prepare
from tests.support.corpora import digests
from tests.support.settings import small_prepare


def test_boxes_are_those_of_the_picture_that_the_cnn_sees(boxes_data):
    for record in read_records(boxes_data, "val"):
        larger = decode_image(record.encoded, 192).numpy()
        for stored, expected in zip(record.proposals, propose(larger, "edgeboxes", 60)):
            np.testing.assert_array_equal(stored, expected)
        # A picture from a file is processed in the same way, with the settings in the manifest.
        sections = boxes_data.manifest["encoder"], boxes_data.manifest["proposals"]
        found = picture_inputs(record.encoded, ("boxes", "region_pixels"), *sections)
        np.testing.assert_array_equal(found["boxes"], pad_boxes(record.proposals[0], 60))
        np.testing.assert_array_equal(found["region_pixels"], larger)
    assert boxes_data.manifest["proposals"] == {
        "method": "edgeboxes",
        "most": 60,
        "image_size": 192,
        "feature_shape": [12, 12, 128],
    }


def test_the_second_map_is_that_of_the_larger_picture(boxes_data):
    larger = enlarged(load_encoder(boxes_data.folder / "encoder.keras"), 192)
    for record in read_records(boxes_data, "val"):
        expected = larger(decode_image(record.encoded, 192)[None])[0].numpy()
        values, minimum, scale = record.region_features
        found = dequantise(values.reshape(144, -1), minimum, scale).numpy().reshape(expected.shape)
        assert np.linalg.norm(found - expected) < 0.01 * np.linalg.norm(expected)


def test_without_proposals_there_are_none(data):
    assert data.manifest["proposals"] is None
    record = next(read_records(data, "val"))
    assert record.proposals is None and record.region_features is None
    assert set(data.input_shapes) == {"features", "pixels"}


def test_many_workers_give_the_same_bytes(boxes_data, tmp_path):
    config = command.configuration.from_values({"prepare": boxes_data.manifest["settings"]}).prepare
    prepare(
        config,
        tmp_path / "data",
        ["--direct_running_mode=multi_threading", "--direct_num_workers=3"],
    )
    assert digests(tmp_path / "data") == digests(boxes_data.folder)


def test_prepared_data_no_longer_needs_opencv(boxes_data, monkeypatch, capsys):
    from cv2 import ximgproc

    monkeypatch.delattr(ximgproc, "createEdgeBoxes")
    config = command.configuration.from_values({"prepare": boxes_data.manifest["settings"]}).prepare
    prepare(config, boxes_data.folder)
    assert "already prepared" in capsys.readouterr().out


def test_records_without_pictures(data, tmp_path):
    prepare(
        small_prepare(keep_pictures=False, proposals={"method": "edgeboxes", "most": 5}),
        tmp_path / "data",
    )
    small = open_prepared(tmp_path / "data")
    for one, other in zip(read_records(small, "train"), read_records(data, "train")):
        without = {"proposals": None, "features": None, "encoded": b""}
        assert one.encoded == b"" and dataclasses.replace(one, **without) == dataclasses.replace(
            other, **without
        )
        assert len(one.proposals[0]) == 5
        np.testing.assert_array_equal(one.features[0], other.features[0])
    assert small.manifest["bytes_an_image"] < 0.8 * data.manifest["bytes_an_image"]
    small.check_inputs(["features", "boxes"])
    with pytest.raises(
        UserError, match=f"{small.folder}: holds no pictures, for .*; .*--set keep_pictures=true"
    ):
        small.check_inputs(["pixels"])


@pytest.fixture
def boxes_file(tmp_path):
    rows = [
        {"id": f"train-{index:06d}", "boxes": [[0, 0, 0.5, (1 + index) / 8], [0, 0, 1, 1]]}
        for index in range(8)
    ]
    path = tmp_path / "boxes.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def from_file(path, **changes):
    return small_prepare(
        source="train=8", proposals={"method": "file", "file": str(path), "most": 3}, **changes
    )


def test_boxes_from_a_file(boxes_file, tmp_path):
    prepare(from_file(boxes_file), tmp_path / "data")
    prepared = open_prepared(tmp_path / "data")
    for batch in input_pipeline.evaluation_batches(prepared, "train", 8, inputs=["boxes"]):
        for name, boxes in zip(batch["source_id"].numpy(), batch["boxes"].numpy()):
            np.testing.assert_array_equal(
                boxes, [[0, 0, 0.5, (1 + int(name[-1:])) / 8], [0, 0, 1, 1], [0, 0, 0, 0]]
            )
    boxes_file.write_text(boxes_file.read_text().replace("0.5", "0.75"))
    with pytest.raises(UserError, match="other settings \\(boxes\\)"):
        prepare(from_file(boxes_file), tmp_path / "data")


def test_an_image_that_the_file_lacks_is_a_failure(boxes_file, tmp_path):
    boxes_file.write_text("\n".join(boxes_file.read_text().splitlines()[1:]))
    prepare(from_file(boxes_file, max_failures=0.2), tmp_path / "data")
    failure = json.loads((tmp_path / "data" / "failures-train.jsonl").read_text())
    assert failure == {
        "id": "train-000000",
        "stage": "ExampleGen",
        "error": f"no boxes: not in {boxes_file}",
        "left_out": "picture",
    }
    with pytest.raises(UserError, match=f"1 of 8 .*train-000000: no boxes: not in {boxes_file}"):
        prepare(from_file(boxes_file), tmp_path / "strict")


def test_the_commands_mistakes_take_one_line(boxes_file, tmp_path, capsys):
    boxes_file.write_text('{"id": "train-000000", "boxes": [[0, 0, 99, 99]]}')
    flags = ["--output", str(tmp_path / "data"), "--set", "proposals.method=file"]
    with pytest.raises(SystemExit):
        command.main([*flags, "--set", f"proposals.file={boxes_file}"])
    assert capsys.readouterr().err.startswith(
        f"error: {boxes_file}:1: train-000000: box [0.0, 0.0, 99.0, 99.0] is not inside"
    )
    with pytest.raises(SystemExit):
        command.main([*flags, "--set", "proposals.most=0"])
    assert "proposals.most: 0 is out of range" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
