"""Loading and checking the pictures and captions of one chunk."""

import dataclasses
import hashlib
from typing import NamedTuple

import apache_beam as beam
import tensorflow as tf
from apache_beam.metrics import Metrics

from keras_sat.data.examples import serialize
from keras_sat.data.record import Record
from keras_sat.pictures.boxes import read_boxes_file
from keras_sat.pictures.decode import decode_picture, decoding_of
from keras_sat.pictures.formats import decodable
from keras_sat.text.encoding import encoding_fault
from keras_sat.utils.errors import UserError
from pipeline.preparation import artifacts
from pipeline.preparation.account import IN_NO_SPLIT, failure, reason_of
from pipeline.preparation.captions import check_captions
from pipeline.preparation.merging import NO_CAPTION
from pipeline.sources.base import CAPTION, PICTURE, UNSPLIT, stable_hash

MISSING = "picture missing"


def _chunk_order(item):
    return stable_hash(item.id), item.id, item.fault, item.captions


class Loaded(NamedTuple):
    """A loaded and checked image.

    Attributes:
        record: its `Record`.
        failures: the failures of single captions, which the record lacks.
        content: the hash of its pixels.
        added: how many captions more than its item it was loaded with.
    """

    record: Record
    failures: list
    content: str
    added: int


class LoadChunk(beam.DoFn):
    """Loads and checks the images of one chunk and writes it, unless an earlier run has."""

    def __init__(self, source, config, folder):
        self._source = source
        self._config = config
        self._folder = folder

    def setup(self):
        self._boxes = None
        proposals = self._config.proposals
        if proposals.file:
            self._boxes = read_boxes_file(proposals.file, proposals.most)

    def process(self, element):
        name, items = element
        path = f"{self._folder}/{name}.tfrecord"
        if tf.io.gfile.exists(artifacts.sidecar_of(path)):
            return
        records = []
        sidecar = {"failures": [], "contents": {}, "captions": {}, "added": 0, "dropped": 0}
        for item in sorted(items, key=_chunk_order):
            if item.fault and item.left_out != PICTURE:
                text = item.captions[0] if item.left_out == CAPTION else None
                sidecar["failures"].append(failure(item.id, item.fault, item.left_out, text))
                continue
            try:
                loaded = self._load(item)
                records.append(serialize(loaded.record))
            except (UserError, OSError, UnicodeEncodeError) as error:
                sidecar["failures"].append(failure(item.id, _reason(error, item)))
                sidecar["dropped"] += len(item.captions)
            else:
                sidecar["failures"] += loaded.failures
                sidecar["contents"][item.id] = loaded.content
                sidecar["captions"][item.id] = len(loaded.record.captions)
                sidecar["added"] += loaded.added
        sidecar["images"] = len(records)
        _count("images_kept", len(records))
        _count("captions", sum(sidecar["captions"].values()))
        for each in sidecar["failures"]:
            _count(f"failed: {reason_of(each)}")
        artifacts.write_chunk(path, records, sidecar)

    def _with_boxes(self, record):
        """The record with its boxes from the file of boxes, if there is one."""
        if self._boxes is None:
            return record
        if record.source_id not in self._boxes:
            raise UserError(f"no boxes: not in {self._config.proposals.file}")
        return dataclasses.replace(record, proposals=self._boxes[record.source_id])

    def _load(self, item):
        """The item as `Loaded`.

        Raises:
            UserError: it cannot be used.
            OSError: its picture cannot be read.
            UnicodeEncodeError: its id is not UTF-8.
        """
        if item.fault:
            raise UserError(item.fault)
        if item.split == UNSPLIT:
            raise UserError(f"{IN_NO_SPLIT}: the corpus lists it in none")
        item.id.encode()
        record = self._source.load(item)
        added = len(record.captions) - len(item.captions)
        encoded = decodable(record.encoded, self._config.max_pixels)
        record = dataclasses.replace(record, encoded=encoded)
        picture = self._decode(encoded)
        content = hashlib.sha256(str(picture.shape).encode() + picture.tobytes())
        size = self._config.picture_size
        if size and min(picture.shape[:2]) > size:
            picture = _shrunk(picture, size)
            encoded = tf.io.encode_jpeg(picture, quality=95).numpy()
            record = dataclasses.replace(record, encoded=encoded)
        height, width, _ = picture.shape
        record = dataclasses.replace(record, height=height, width=width)
        record = self._with_boxes(record)
        record, failures = _with_usable_captions(record, self._config.max_words)
        return Loaded(record, failures, content.hexdigest()[:16], added)

    def _decode(self, encoded):
        """The pixels, decoded only if the picture's header allows it."""
        with decoding_of(encoded, self._config.max_pixels):
            return decode_picture(encoded).numpy()


def _count(name, number=1):
    Metrics.counter("ExampleGen", name).inc(number)


def _shrunk(picture, size):
    """uint8 [H, W, 3] with its shorter side of `size` pixels."""
    scale = size / min(picture.shape[:2])
    shape = [round(side * scale) for side in picture.shape[:2]]
    smaller = tf.image.resize(picture, shape, antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(smaller), 0, 255), tf.uint8).numpy()


def _with_usable_captions(record, max_words):
    """(the record with only its usable captions and their phrases, failures of the others).

    Raises:
        UserError: no caption is usable.
    """
    captions = []
    places = {}  # {index of a caption in the corpus: its index among the usable ones}
    failures = []
    for index, (caption, error) in enumerate(check_captions(record.captions, max_words)):
        if error:
            text = record.captions[index]
            failures.append(failure(record.source_id, error, CAPTION, text))
        else:
            places[index] = len(captions)
            captions.append(caption)
    if not captions:
        errors = "; ".join(each["error"] for each in failures)
        raise UserError(f"{NO_CAPTION}: {errors or 'the corpus has none for it'}")
    phrases = []
    for phrase in record.phrases:
        if phrase.caption in places:
            phrases.append(dataclasses.replace(phrase, caption=places[phrase.caption]))
    record = dataclasses.replace(record, captions=tuple(captions), phrases=tuple(phrases))
    return record, failures


def _reason(error, item):
    """An exception as `reason: detail`."""
    if isinstance(error, FileNotFoundError):
        return f"{MISSING}: {error.filename or error}"
    if isinstance(error, UnicodeEncodeError):
        return f"picture's name {encoding_fault(item.id + item.path)}"
    if isinstance(error, UserError):
        return str(error)
    return f"not readable: {error}"
