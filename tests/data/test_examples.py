import dataclasses

import numpy as np
import pytest

from keras_sat.data import examples
from keras_sat.data.quantisation import quantise
from keras_sat.data.record import Phrase, Record

PHRASES = (
    Phrase(0, 0, 2, "dog", (0.25, 0.0, 0.5, 1.0)),
    Phrase(1, 3, 5, "chat", (0.0, 0.5, 0.125, 0.75)),
)
BOXES = np.float32([[0, 0.25, 0.5, 1], [0.1, 0.2, 0.3, 0.4]])
SCORES = np.float32([0.7, 0.3])
REGIONS = np.random.default_rng(0).normal(size=[6, 4]).astype(np.float32)


def record(quantisation):
    values, minimum, scale = (
        each if each is None else each.numpy() for each in quantise(REGIONS, quantisation)
    )
    plain = Record("é/1.jpg", ("a dog .", "là, un chat"), b"\x00picture", 30, 40, PHRASES)
    features = values.reshape(2, 3, 4), minimum, scale
    larger = values.reshape(3, 2, 4), minimum, scale
    return dataclasses.replace(
        plain, features=features, region_features=larger, proposals=(BOXES, SCORES)
    )


@pytest.mark.parametrize("quantisation", ["uint8", "float16"])
def test_round_trip(quantisation):
    before = record(quantisation)
    after = examples.deserialize(examples.serialize(before))
    for name in ("features", "region_features", "proposals"):
        for one, other in zip(getattr(before, name), getattr(after, name), strict=True):
            np.testing.assert_array_equal(one, other)
    assert examples.serialize(after) == examples.serialize(before)
    for field in ("source_id", "captions", "encoded", "height", "width", "phrases"):
        assert getattr(after, field) == getattr(before, field)
    assert examples.deserialize(examples.serialize(Record("x", ("y",)))) == Record("x", ("y",))


@pytest.mark.parametrize("quantisation", ["uint8", "float16"])
def test_the_graph_reads_the_same(quantisation):
    before = record(quantisation)
    shapes = {
        "features": (2, 3, 4),
        "region_features": (3, 2, 4),
        "boxes": (5, 4),
        "pixels": (32, 32, 3),
    }
    parsed = examples.parse(examples.serialize(before), shapes, quantisation)
    for name in ("features", "region_features"):
        values, minimum, scale = getattr(before, name)
        np.testing.assert_array_equal(parsed[name]["values"], values)
        if quantisation == "uint8":
            np.testing.assert_array_equal(parsed[name]["minimum"], minimum)
            np.testing.assert_array_equal(parsed[name]["scale"], scale)
    np.testing.assert_array_equal(parsed["boxes"], np.concatenate([BOXES, np.zeros([3, 4])]))
    assert parsed["pixels"].numpy() == before.encoded
    assert [text.decode() for text in parsed["captions"].numpy()] == list(before.captions)
    assert parsed["source_id"].numpy().decode() == before.source_id


def test_only_what_is_asked_for_is_parsed():
    bare = examples.serialize(Record("x", ("y",)))
    assert set(examples.parse(bare, {}, "uint8")) == {"source_id", "captions"}
