import io
import json

import numpy as np
import pytest
from PIL import Image

from keras_sat.config import Proposals
from keras_sat.data import scenes
from keras_sat.pictures.boxes import cropped, fingerprint, pad_boxes, read_boxes_file
from keras_sat.pictures.proposals import check, propose
from keras_sat.utils.errors import UserError
from tests.support.rounding import assert_close

METHODS = ["edgeboxes", "selective_search"]


def drawn(count):
    """(pixels, boxes of its objects) of some scenes."""
    for index in range(count):
        scene = scenes.draw(scenes.scene_id("val", index), seed=1)
        yield (
            np.asarray(Image.open(io.BytesIO(scene.image))),
            np.array([each.box for each in scene.objects]),
        )


def overlaps(a, b):
    """Intersection over union of boxes [n, 4] and [m, 4]; returns [n, m]."""
    first = np.maximum(a[:, None, :2], b[:, :2])
    last = np.minimum(a[:, None, 2:], b[:, 2:])
    common = np.prod(np.clip(last - first, 0, None), axis=-1)
    area_a, area_b = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1) for boxes in (a, b))
    return common / (area_a[:, None] + area_b - common)


@pytest.mark.parametrize("method", METHODS)
def test_objects_are_found(method):
    """In 12 scenes nearly every object has a box, and the first boxes cover most of them."""
    best = []
    of_the_first = []
    for pixels, objects in drawn(12):
        found = overlaps(objects, propose(pixels, method, 200)[0])
        best += found.max(axis=1).tolist()
        of_the_first += found[:, :20].max(axis=1).tolist()
    assert np.mean(np.array(best) > 0.5) > 0.95 and np.mean(np.array(best) > 0.7) > 0.8
    assert np.mean(np.array(of_the_first) > 0.5) > 0.5


@pytest.mark.parametrize("method", METHODS)
def test_boxes_are_ordered_bounded_and_the_same_again(method):
    for pixels, _ in drawn(3):
        wide = pixels[:80]
        boxes, scores = propose(wide, method, 30)
        assert boxes.dtype == scores.dtype == np.float32
        assert boxes.shape == (len(scores), 4) and 1 < len(scores) <= 30
        assert np.all(np.diff(scores) <= 0)
        assert boxes.min() >= 0 and boxes.max() <= 1 and np.all(boxes[:, 2:] > boxes[:, :2])
        for one, other in zip((boxes, scores), propose(wide, method, 30)):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_of_nothing_is_one_box(method):
    boxes, scores = propose(np.full([64, 48, 3], 200, np.uint8), method, 10)
    np.testing.assert_array_equal(boxes, [[0, 0, 1, 1]])
    assert len(scores) == 1


def test_padding_is_zeros():
    np.testing.assert_array_equal(
        pad_boxes(np.ones([1, 4], np.float32), 3), [[1] * 4, [0] * 4, [0] * 4]
    )


@pytest.mark.parametrize("method", METHODS)
def test_missing_modules_are_named(method, monkeypatch):
    from cv2 import ximgproc

    monkeypatch.delattr(ximgproc, "createEdgeBoxes")
    with pytest.raises(
        UserError, match=r"pip install .*--no-deps opencv-contrib-python-headless==4.11.0.86"
    ):
        check(Proposals(method))


@pytest.mark.parametrize(
    "proposals", [Proposals("file"), Proposals("edgeboxes", file="boxes.jsonl")]
)
def test_a_file_belongs_to_its_method(proposals):
    with pytest.raises(UserError, match="set both or neither"):
        check(proposals)


def test_a_larger_picture_is_for_boxes():
    with pytest.raises(UserError, match=r"proposals\.image_size.*proposals\.method=none"):
        check(Proposals(image_size=300))


def test_boxes_from_a_file(tmp_path):
    path = tmp_path / "boxes.jsonl"
    small = [0, 0, 0.5, 0.5]
    large = [0, 0, 1, 0.5]
    most = [0.25, 0.25, 1, 1]
    rows = [
        {"id": "a", "boxes": [small, large, most], "scores": [1, 3, 2]},
        {"id": 7, "boxes": [small, large, most]},
        {"id": "none", "boxes": []},
    ]
    path.write_text("\n\n".join(map(json.dumps, rows)) + "\n")
    found = read_boxes_file(path, 2)
    np.testing.assert_array_equal(found["a"][0], [large, most])
    np.testing.assert_array_equal(found["a"][1], [3, 2])
    np.testing.assert_array_equal(found["7"][0], [small, large])
    np.testing.assert_array_equal(found["none"][0], [[0, 0, 1, 1]])


@pytest.mark.parametrize(
    "line, parts",
    [
        ("{", ["boxes.jsonl:2", "expected"]),
        ("[]", ["boxes.jsonl:2", "expected"]),
        ('{"id": "b"}', ["boxes.jsonl:2", "expected"]),
        ('{"id": "b", "boxes": [[0, 0, 1]]}', ["boxes.jsonl:2", "ymin"]),
        ('{"id": "b", "boxes": [[0, 0, 1, 1]], "scores": [1, 2]}', ["boxes.jsonl:2", "scores"]),
        ('{"id": "b", "boxes": [[0, 0, 224, 224]]}', ["boxes.jsonl:2", "b:", "0 to 1"]),
        ('{"id": "b", "boxes": [[0, -0.5, 1, 1]]}', ["boxes.jsonl:2", "b:", "0 to 1"]),
        ('{"id": "b", "boxes": [[0, NaN, 1, 1]]}', ["boxes.jsonl:2", "b:"]),
        ('{"id": "b", "boxes": [[0.5, 0, 0.5, 1]]}', ["boxes.jsonl:2", "b:", "no area"]),
        ('{"id": "a", "boxes": [[0, 0, 1, 1]]}', ["boxes.jsonl:2", "a:", "already"]),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path, line, parts):
    path = tmp_path / "boxes.jsonl"
    path.write_text('{"id": "a", "boxes": [[0, 0, 1, 1]]}\n' + line + "\n")
    with pytest.raises(UserError) as error:
        check(Proposals("file", file=str(path)))
    assert all(part in str(error.value) for part in parts), error.value


def test_a_missing_file_is_named(tmp_path):
    path = str(tmp_path / "nowhere.jsonl")
    for read in (lambda: check(Proposals("file", file=path)), lambda: fingerprint(path)):
        with pytest.raises(UserError, match=r"nowhere.jsonl.*No such file"):
            read()


def test_boxes_move_into_the_crop():
    """Of a picture of 256 x 512 the crop shows the middle: y from 16 to 240, x from 144 to 368."""
    whole = np.array(
        [[16, 144, 240, 368], [16, 144, 128, 256], [0, 0, 256, 150], [0, 0, 256, 140]]
    ) / [256, 512, 256, 512]
    boxes, scores = cropped(np.float32(whole), np.float32([4, 3, 2, 1]), 256, 512)
    assert_close(boxes, [[0, 0, 1, 1], [0, 0, 0.5, 0.5], [0, 0, 1, 6 / 224]], roundings=8)
    np.testing.assert_array_equal(scores, [4, 3, 2])
