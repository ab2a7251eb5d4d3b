"""The record: one `tf.train.Example` an image, with all its captions. The one place that knows the keys."""

import numpy as np
import tensorflow as tf

from keras_sat.data.record import Phrase, Record

# Keys in the spelling of official.vision.data.tfrecord_lib (which takes 26 s to import) where that has one.
SOURCE_ID = "image/source_id"
HEIGHT = "image/height"
WIDTH = "image/width"
ENCODED = "image/encoded"
CAPTIONS = "caption/text"
# Keys PREFIX/values, /minimum, /scale, /shape.
MAPS = {
    "features": "feature",
    "region_features": "region",
    "mirrored_features": "mirrored",
    "cropped_features": "cropped",
}
PROPOSED_BOXES = "region/boxes"
PROPOSED_SCORES = "region/scores"
OBJECT_BOXES = "object/boxes"
OBJECT_WORDS = "object/words"
OBJECT_CAPTIONS = "object/captions"
OBJECT_SPANS = "object/spans"


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
        features[OBJECT_SPANS] = _ints(
            np.ravel([(phrase.start, phrase.end) for phrase in record.phrases])
        )
    if record.proposals is not None:
        boxes, scores = record.proposals
        features[PROPOSED_BOXES], features[PROPOSED_SCORES] = (
            _floats(np.ravel(boxes)),
            _floats(scores),
        )
    for name, prefix in MAPS.items():
        if (stored := getattr(record, name)) is not None:
            values, minimum, scale = stored
            features[f"{prefix}/values"] = _bytes([values.tobytes()])
            features[f"{prefix}/shape"] = _ints(values.shape)
            if minimum is not None:
                features[f"{prefix}/minimum"], features[f"{prefix}/scale"] = (
                    _floats(minimum),
                    _floats(scale),
                )
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def deserialize(serialized):
    """The inverse of `serialize` (float boxes come back in single precision)."""
    found = tf.train.Example.FromString(serialized).features.feature
    words = [word.decode() for word in found[OBJECT_WORDS].bytes_list.value]
    boxes = np.reshape(found[OBJECT_BOXES].float_list.value, [-1, 4]).tolist()
    spans = np.reshape(found[OBJECT_SPANS].int64_list.value, [-1, 2]).astype(int).tolist()
    owners = found[OBJECT_CAPTIONS].int64_list.value
    proposals = None
    if PROPOSED_BOXES in found:
        proposed, scores = (
            np.float32(found[key].float_list.value) for key in (PROPOSED_BOXES, PROPOSED_SCORES)
        )
        proposals = np.reshape(proposed, [-1, 4]), scores
    return Record(
        source_id=found[SOURCE_ID].bytes_list.value[0].decode(),
        captions=tuple(caption.decode() for caption in found[CAPTIONS].bytes_list.value),
        encoded=b"".join(found[ENCODED].bytes_list.value),
        height=found[HEIGHT].int64_list.value[0],
        width=found[WIDTH].int64_list.value[0],
        phrases=tuple(
            Phrase(o, *span, word, tuple(box))
            for o, span, word, box in zip(owners, spans, words, boxes)
        ),
        proposals=proposals,
        **{name: _stored_map(found, prefix) for name, prefix in MAPS.items()},
    )


def _stored_map(found, prefix):
    if f"{prefix}/values" not in found:
        return None
    shape = tuple(found[f"{prefix}/shape"].int64_list.value)
    raw = found[f"{prefix}/values"].bytes_list.value[0]
    if len(raw) != np.prod(shape):
        return np.frombuffer(raw, np.float16).reshape(shape), None, None
    minimum, scale = (
        np.float32(found[f"{prefix}/{key}"].float_list.value) for key in ("minimum", "scale")
    )
    return np.frombuffer(raw, np.uint8).reshape(shape), minimum, scale


def parse(serialized, shapes, quantisation):
    """Captions and inputs as they are stored, in the graph.

    Args:
        serialized: scalar string tensor.
        shapes: of the inputs to read, from `PreparedData.input_shapes`; the rest is not even parsed.
        quantisation: `uint8` or `float16`.
    Returns:
        {"source_id": string [], "captions": string [M]} and of the feature maps (`MAPS`) among the inputs {"values": uint8
        or float16 [h, w, D], and for uint8 "minimum" and "scale": float32 [h·w]}, of cut-outs each [crops, …]; "pixels":
        string [], the encoded picture; "boxes": float32 [most, 4], padded with zeros.
    """
    maps = {name: prefix for name, prefix in MAPS.items() if name in shapes}
    spec = {
        SOURCE_ID: tf.io.FixedLenFeature([], tf.string),
        CAPTIONS: tf.io.VarLenFeature(tf.string),
    }
    for name, prefix in maps.items():
        *crops, height, width, _ = shapes[name]
        spec[f"{prefix}/values"] = tf.io.FixedLenFeature([], tf.string)
        if quantisation == "uint8":
            spec |= {
                f"{prefix}/{key}": tf.io.FixedLenFeature([*crops, height * width], tf.float32)
                for key in ("minimum", "scale")
            }
    if "pixels" in shapes:
        spec[ENCODED] = tf.io.FixedLenFeature([], tf.string)
    if "boxes" in shapes:
        spec[PROPOSED_BOXES] = tf.io.VarLenFeature(tf.float32)
    found = tf.io.parse_single_example(serialized, spec)
    parsed = {"source_id": found[SOURCE_ID], "captions": tf.sparse.to_dense(found[CAPTIONS])}
    for name, prefix in maps.items():
        values = tf.io.decode_raw(found[f"{prefix}/values"], tf.as_dtype(quantisation))
        parsed[name] = {"values": tf.reshape(values, shapes[name])}
        if quantisation == "uint8":
            parsed[name] |= {key: found[f"{prefix}/{key}"] for key in ("minimum", "scale")}
    if "pixels" in shapes:
        parsed["pixels"] = found[ENCODED]
    if "boxes" in shapes:
        boxes = tf.reshape(tf.sparse.to_dense(found[PROPOSED_BOXES]), [-1, 4])
        parsed["boxes"] = tf.ensure_shape(
            tf.pad(boxes, [[0, shapes["boxes"][0] - tf.shape(boxes)[0]], [0, 0]]), shapes["boxes"]
        )
    return parsed


def _bytes(values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _ints(values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))


def _floats(values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=[float(value) for value in values]))
