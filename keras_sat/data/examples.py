"""The record format: one `tf.train.Example` per image, with all its captions.

This is the one place that knows the keys.
"""

import re

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_sat.data.record import Phrase, Record

# Keys are spelled as in official.vision.data.tfrecord_lib, where it has them. Importing that module
# takes 26 s.
SOURCE_ID = "image/source_id"
HEIGHT = "image/height"
WIDTH = "image/width"
ENCODED = "image/encoded"
CAPTIONS = "caption/text"
# Feature maps and the prefix of their keys: PREFIX/values, /minimum, /scale and /shape.
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
    """The bytes of a `Record`. Equal records give equal bytes."""
    features = {
        SOURCE_ID: _bytes([record.source_id.encode()]),
        HEIGHT: _ints([record.height]),
        WIDTH: _ints([record.width]),
        CAPTIONS: _bytes([caption.encode() for caption in record.captions]),
    }
    if record.encoded:
        features[ENCODED] = _bytes([record.encoded])
    if record.phrases:
        features |= _phrase_features(record.phrases)
    if record.proposals is not None:
        boxes, scores = record.proposals
        features[PROPOSED_BOXES] = _floats(np.ravel(boxes))
        features[PROPOSED_SCORES] = _floats(scores)
    for name, prefix in MAPS.items():
        stored = getattr(record, name)
        if stored is not None:
            features |= _map_features(prefix, *stored)
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def _phrase_features(phrases):
    boxes = [phrase.box for phrase in phrases]
    spans = [(phrase.start, phrase.end) for phrase in phrases]
    return {
        OBJECT_BOXES: _floats(np.ravel(boxes)),
        OBJECT_WORDS: _bytes([phrase.noun.encode() for phrase in phrases]),
        OBJECT_CAPTIONS: _ints([phrase.caption for phrase in phrases]),
        OBJECT_SPANS: _ints(np.ravel(spans)),
    }


def _map_features(prefix, values, minimum, scale):
    features = {
        f"{prefix}/values": _bytes([values.tobytes()]),
        f"{prefix}/shape": _ints(values.shape),
    }
    if minimum is not None:
        features[f"{prefix}/minimum"] = _floats(minimum)
        features[f"{prefix}/scale"] = _floats(scale)
    return features


def deserialize(serialized):
    """The inverse of `serialize`, except that the phrases' boxes come back in single precision."""
    found = tf.train.Example.FromString(serialized).features.feature
    maps = {name: _stored_map(found, prefix) for name, prefix in MAPS.items()}
    return Record(
        source_id=found[SOURCE_ID].bytes_list.value[0].decode(),
        captions=tuple(caption.decode() for caption in found[CAPTIONS].bytes_list.value),
        encoded=b"".join(found[ENCODED].bytes_list.value),
        height=found[HEIGHT].int64_list.value[0],
        width=found[WIDTH].int64_list.value[0],
        phrases=_stored_phrases(found),
        proposals=_stored_proposals(found),
        **maps,
    )


# The id's key in protobuf's encoding, and after three bytes the id's length.
_ID = re.compile(re.escape(SOURCE_ID.encode()) + rb"\x12.\x0a.\x0a([\x01-\x7f])", re.DOTALL)


def source_id(serialized):
    """The image's id in a record's bytes, which may be damaged elsewhere; None if there is none."""
    found = _ID.search(serialized)
    if found is None:
        return None
    end = found.end() + found.group(1)[0]
    return serialized[found.end() : end].decode(errors="replace")


def is_whole(serialized):
    """Whether a record's bytes are a `tf.train.Example` with an image's id."""
    try:
        found = tf.train.Example.FromString(serialized).features.feature
        return len(found[SOURCE_ID].bytes_list.value) == 1
    except DecodeError:
        return False


def _stored_phrases(found):
    captions = found[OBJECT_CAPTIONS].int64_list.value
    spans = np.reshape(found[OBJECT_SPANS].int64_list.value, [-1, 2]).astype(int).tolist()
    nouns = found[OBJECT_WORDS].bytes_list.value
    boxes = np.reshape(found[OBJECT_BOXES].float_list.value, [-1, 4]).tolist()
    phrases = []
    for caption, (start, end), noun, box in zip(captions, spans, nouns, boxes):
        phrases.append(Phrase(caption, start, end, noun.decode(), tuple(box)))
    return tuple(phrases)


def _stored_proposals(found):
    if PROPOSED_BOXES not in found:
        return None
    boxes = np.float32(found[PROPOSED_BOXES].float_list.value)
    scores = np.float32(found[PROPOSED_SCORES].float_list.value)
    return np.reshape(boxes, [-1, 4]), scores


def _stored_map(found, prefix):
    if f"{prefix}/values" not in found:
        return None
    shape = tuple(found[f"{prefix}/shape"].int64_list.value)
    values = found[f"{prefix}/values"].bytes_list.value[0]
    if len(values) != np.prod(shape):
        return np.frombuffer(values, np.float16).reshape(shape), None, None
    minimum = np.float32(found[f"{prefix}/minimum"].float_list.value)
    scale = np.float32(found[f"{prefix}/scale"].float_list.value)
    return np.frombuffer(values, np.uint8).reshape(shape), minimum, scale


def parse(serialized, shapes, quantisation):
    """Captions and inputs in their stored form, in the graph.

    Args:
        serialized: scalar string tensor.
        shapes: {name: shape} of the inputs to read, from `PreparedData.input_shapes`. Other inputs
            are not parsed.
        quantisation: `uint8` or `float16`.
    Returns:
        A dictionary. "source_id": string []. "captions": string [M]. For each feature map of `MAPS`
        among the inputs {"values": uint8 or float16 [h, w, D]} and for `uint8` also "minimum" and
        "scale", float32 [h·w]; those of crops have a further dimension in front. "pixels": string
        [], the encoded picture. "boxes": float32 [most, 4], padded with zeros. In the graph, a
        number that is not finite is an `InvalidArgumentError`; `keras_sat.data.reading.reading`
        names its image.
    """
    found = tf.io.parse_single_example(serialized, _parsing_spec(shapes, quantisation))
    parsed = {"source_id": found[SOURCE_ID], "captions": tf.sparse.to_dense(found[CAPTIONS])}
    for name, prefix in MAPS.items():
        if name in shapes:
            values = tf.io.decode_raw(found[f"{prefix}/values"], tf.as_dtype(quantisation))
            if quantisation == "float16":
                values = _finite(values)
            parsed[name] = {"values": tf.reshape(values, shapes[name])}
            if quantisation == "uint8":
                parsed[name]["minimum"] = _finite(found[f"{prefix}/minimum"])
                parsed[name]["scale"] = _finite(found[f"{prefix}/scale"])
    if "pixels" in shapes:
        parsed["pixels"] = found[ENCODED]
    if "boxes" in shapes:
        boxes = tf.reshape(_finite(tf.sparse.to_dense(found[PROPOSED_BOXES])), [-1, 4])
        missing = shapes["boxes"][0] - tf.shape(boxes)[0]
        padded = tf.pad(boxes, [[0, missing], [0, 0]])
        parsed["boxes"] = tf.ensure_shape(padded, shapes["boxes"])
    return parsed


def _finite(values):
    return tf.debugging.check_numerics(values, "the record")


def _parsing_spec(shapes, quantisation):
    """What `tf.io.parse_single_example` is to read of a record; arguments as those of `parse`."""
    spec = {
        SOURCE_ID: tf.io.FixedLenFeature([], tf.string),
        CAPTIONS: tf.io.VarLenFeature(tf.string),
    }
    for name, prefix in MAPS.items():
        if name in shapes:
            *crops, height, width, _ = shapes[name]
            spec[f"{prefix}/values"] = tf.io.FixedLenFeature([], tf.string)
            if quantisation == "uint8":
                regions = tf.io.FixedLenFeature([*crops, height * width], tf.float32)
                spec[f"{prefix}/minimum"] = regions
                spec[f"{prefix}/scale"] = regions
    if "pixels" in shapes:
        spec[ENCODED] = tf.io.FixedLenFeature([], tf.string)
    if "boxes" in shapes:
        spec[PROPOSED_BOXES] = tf.io.VarLenFeature(tf.float32)
    return spec


def _bytes(values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _ints(values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))


def _floats(values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=[float(value) for value in values]))
