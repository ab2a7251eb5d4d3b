import numpy as np
import pytest

from keras_sat.data import examples
from keras_sat.data.examples import Record
from keras_sat.data.phrase import Phrase
from keras_sat.encoder import quantise

PHRASES = (Phrase(0, 0, 2, "dog", (0.25, 0.0, 0.5, 1.0)), Phrase(1, 3, 5, "chat", (0.0, 0.5, 0.125, 0.75)))
REGIONS = np.random.default_rng(0).normal(size=[6, 4]).astype(np.float32)


def record(quantisation):
    values, minimum, scale = quantise(REGIONS, quantisation)
    plain = Record("é/1.jpg", ("a dog .", "là, un chat"), b"\x00picture", 30, 40, PHRASES)
    return plain.with_features(values.reshape(2, 3, 4), minimum, scale)


@pytest.mark.parametrize("quantisation", ["uint8", "float16"])
def test_round_trip(quantisation):
    before = record(quantisation)
    after = examples.deserialize(examples.serialize(before))
    for one, other in zip(before.features, after.features):
        np.testing.assert_array_equal(one, other)
    assert examples.serialize(after) == examples.serialize(before)
    for field in ("source_id", "captions", "encoded", "height", "width", "phrases"):
        assert getattr(after, field) == getattr(before, field)
    assert examples.deserialize(examples.serialize(Record("x", ("y",)))) == Record("x", ("y",))


@pytest.mark.parametrize("quantisation", ["uint8", "float16"])
def test_the_graph_reads_the_same(quantisation):
    before = record(quantisation)
    parsed = examples.parse(examples.serialize(before), (2, 3, 4), quantisation)
    values, minimum, scale = before.features
    np.testing.assert_array_equal(parsed["values"], values)
    if quantisation == "uint8":
        np.testing.assert_array_equal(parsed["minimum"], minimum)
        np.testing.assert_array_equal(parsed["scale"], scale)
    assert [text.decode() for text in parsed["captions"].numpy()] == list(before.captions)
    assert parsed["source_id"].numpy().decode() == before.source_id
