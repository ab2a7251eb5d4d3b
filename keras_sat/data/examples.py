"""The record: one `tf.train.Example` an image, with all its captions. The one place that knows the keys."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_sat.data.phrase import Phrase

FORMAT_VERSION = 1

# Keys in the spelling of official.vision.data.tfrecord_lib (which takes 26 s to import) where that has one.
SOURCE_ID = "image/source_id"
HEIGHT = "image/height"
WIDTH = "image/width"
ENCODED = "image/encoded"
CAPTIONS = "caption/text"
VALUES = "feature/values"
MINIMUM = "feature/minimum"
SCALE = "feature/scale"
SHAPE = "feature/shape"
OBJECT_BOXES = "object/boxes"
OBJECT_WORDS = "object/words"
OBJECT_CAPTIONS = "object/captions"
OBJECT_SPANS = "object/spans"


@dataclass(frozen=True)
class Record:
    """An image as it is stored. `features`: (values [h, w, D] uint8 or float16, minimum [h·w], scale [h·w]) or None."""

    source_id: str
    captions: tuple[str, ...]
    encoded: bytes = b""
    height: int = 0
    width: int = 0
    phrases: tuple[Phrase, ...] = ()
    features: tuple | None = None

    def with_features(self, values, minimum, scale):
        return dataclasses.replace(self, features=(values, minimum, scale))


def serialize(record):
    """The record's bytes. Deterministic: equal records give equal bytes."""
    features = {
        SOURCE_ID: _bytes([record.source_id.encode()]),
        HEIGHT: _ints([record.height]),
        WIDTH: _ints([record.width]),
        CAPTIONS: _bytes([caption.encode() for caption in record.captions]),
    }
    if record.encoded:
        features[ENCODED] = _bytes([record.encoded])
    if record.phrases:
        features[OBJECT_BOXES] = _floats(np.ravel([phrase.box for phrase in record.phrases]))
        features[OBJECT_WORDS] = _bytes([phrase.noun.encode() for phrase in record.phrases])
        features[OBJECT_CAPTIONS] = _ints([phrase.caption for phrase in record.phrases])
        features[OBJECT_SPANS] = _ints(np.ravel([(phrase.start, phrase.end) for phrase in record.phrases]))
    if record.features is not None:
        values, minimum, scale = record.features
        features[VALUES] = _bytes([values.tobytes()])
        features[SHAPE] = _ints(values.shape)
        if minimum is not None:
            features[MINIMUM], features[SCALE] = _floats(minimum), _floats(scale)
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def deserialize(serialized):
    """The inverse of `serialize` (float boxes come back in single precision)."""
    found = tf.train.Example.FromString(serialized).features.feature
    words = [word.decode() for word in found[OBJECT_WORDS].bytes_list.value]
    boxes = np.reshape(found[OBJECT_BOXES].float_list.value, [-1, 4]).tolist()
    spans = np.reshape(found[OBJECT_SPANS].int64_list.value, [-1, 2]).astype(int).tolist()
    owners = found[OBJECT_CAPTIONS].int64_list.value
    features = None
    if VALUES in found:
        shape = tuple(found[SHAPE].int64_list.value)
        raw = found[VALUES].bytes_list.value[0]
        quantised = len(raw) == np.prod(shape)
        minimum, scale = (np.array(found[key].float_list.value, np.float32) for key in (MINIMUM, SCALE))
        values = np.frombuffer(raw, np.uint8 if quantised else np.float16).reshape(shape)
        features = (values, minimum, scale) if quantised else (values, None, None)
    return Record(
        source_id=found[SOURCE_ID].bytes_list.value[0].decode(),
        captions=tuple(caption.decode() for caption in found[CAPTIONS].bytes_list.value),
        encoded=b"".join(found[ENCODED].bytes_list.value),
        height=found[HEIGHT].int64_list.value[0],
        width=found[WIDTH].int64_list.value[0],
        phrases=tuple(Phrase(o, *span, word, tuple(box)) for o, span, word, box in zip(owners, spans, words, boxes)),
        features=features,
    )


def parse(serialized, shape, quantisation):
    """The stored features and captions, in the graph.

    Args:
        serialized: scalar string tensor.
        shape: (h, w, D) of the feature map.
        quantisation: `uint8` or `float16`.
    Returns:
        {"source_id": string [], "captions": string [M], "values": uint8 or float16 [h, w, D],
        and for uint8 "minimum" and "scale": float32 [h·w]}.
    """
    regions = shape[0] * shape[1]
    spec = {
        SOURCE_ID: tf.io.FixedLenFeature([], tf.string),
        CAPTIONS: tf.io.VarLenFeature(tf.string),
        VALUES: tf.io.FixedLenFeature([], tf.string),
    }
    if quantisation == "uint8":
        spec |= {key: tf.io.FixedLenFeature([regions], tf.float32) for key in (MINIMUM, SCALE)}
    found = tf.io.parse_single_example(serialized, spec)
    parsed = {
        "source_id": found[SOURCE_ID],
        "captions": tf.sparse.to_dense(found[CAPTIONS]),
        "values": tf.reshape(tf.io.decode_raw(found[VALUES], tf.as_dtype(quantisation)), shape),
    }
    if quantisation == "uint8":
        parsed |= {"minimum": found[MINIMUM], "scale": found[SCALE]}
    return parsed


def _bytes(values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _ints(values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))


def _floats(values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=[float(value) for value in values]))
