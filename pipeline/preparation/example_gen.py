"""ExampleGen: from a source to checked records in chunk files.

Only ids, paths and captions are shuffled. The hash of an image's id decides its chunk. File names,
order and bytes therefore do not depend on the order of the listing, on workers or on restarts. The
same hash gives the order within a chunk, so that the data set is mixed once and for all.
"""

import collections
import dataclasses
import hashlib
import math
from typing import NamedTuple

import apache_beam as beam
import tensorflow as tf
from apache_beam.metrics import Metrics

from keras_sat.data.examples import deserialize, serialize
from keras_sat.data.record import Record
from keras_sat.pictures.boxes import read_boxes_file
from keras_sat.pictures.decode import decode_picture, decoding_of
from keras_sat.pictures.formats import decodable
from keras_sat.text.tokeniser import split as split_words
from keras_sat.utils.errors import UserError
from pipeline.preparation import artifacts, beam_runner
from pipeline.sources.base import SPLITS, UNSPLIT, Item, stable_hash

LEAK = "same picture in two splits"
TWO_SPLITS = "same id in two splits"
MISSING = "picture missing"
NO_CAPTION = "no caption"
IN_NO_SPLIT = "in no split"


def generate_examples(source, config, folder, options):
    """Writes the chunks `folder`/SPLIT-i-of-n.tfrecord with a sidecar each.

    The sidecar is {"images": int, "failures": [{"id", "stage", "error"}], "contents": {id: hash of
    its pixels}}. If leaks were removed, their hashes are in "leaked". `error` is `reason: detail`.
    A failure with a "caption" left out only that caption.

    Args:
        source: a `pipeline.sources.base.Source`.
        config: a `keras_sat.config.Prepare`.
        folder: where the chunks are written.
        options: Beam's options.

    Raises:
        UserError: there is no image, more of them are unusable than `config.max_failures` allows,
            or pictures would be stored smaller than the CNN takes them.
    """
    _check_picture_size(config)

    def build(pipeline):
        items = (
            pipeline
            | "Partitions" >> beam.Create(source.partitions())
            | "ShareListing" >> beam.Reshuffle()
            | "List" >> beam.FlatMap(source.list_items)
            | "Id" >> beam.Map(lambda item: (item.id.encode(errors="surrogateescape"), item))
            | "ById" >> beam.GroupByKey()
            | "Merge" >> beam.FlatMapTuple(lambda _, parts: merge(parts))
        )
        counts = (
            items
            | "Split" >> beam.Map(lambda item: item.split)
            | "Count" >> beam.combiners.Count.PerElement()
        )
        (
            items
            | "Assign" >> beam.Map(_assign_chunk, beam.pvalue.AsDict(counts), config.chunk_images)
            | "Chunks" >> beam.GroupByKey()
            | "Load" >> beam.ParDo(LoadChunk(source, config, folder))
        )

    beam_runner.run_job(build, options, "reading", folder)
    _remove_leaks(folder, options)
    _check_failures(artifacts.finished_chunks(folder), config)


def _check_picture_size(config):
    needed = max(config.encoder.pixels, config.proposals.image_size or 0)
    if config.encoder.resize == "crop":
        needed = math.ceil(needed * 256 / 224)
    if config.picture_size and config.picture_size < needed:
        raise UserError(
            f"picture_size: {config.picture_size} is less than the {needed} pixels "
            "that the CNN takes; raise it"
        )


def merge(parts):
    """Merges what several places of a corpus say of one image.

    Args:
        parts: `Item`s of one id.

    Yields:
        The merged `Item`, and `Item`s with a fault for what is left out of it.
    """
    good = []
    for part in sorted(parts, key=_merge_order):
        if part.fault:
            yield part
        else:
            good.append(part)
    if not good:
        return
    id = good[0].id
    found = {part.split for part in good}
    splits = [split for split in SPLITS if split in found]
    paths = sorted({part.path for part in good if part.path})
    if splits:
        split = splits[-1]
    else:
        split = max([part.otherwise for part in good if part.otherwise], default=UNSPLIT)
    if len(paths) > 1:
        yield Item(id, split, fault=f"duplicate id: {', '.join(paths)}")
        return
    for other in splits[:-1]:
        yield Item(id, other, fault=f"{TWO_SPLITS}: kept in {split} only")
    captions = {}
    for part in good:
        if not part.captions:
            continue
        if part.order in captions:
            fault = f"duplicate caption id: {part.order[-1]}"
            yield Item(id, split, captions=part.captions, fault=fault)
        else:
            captions[part.order] = part.captions
    yield Item(id, split, "".join(paths), sum(captions.values(), ()))


def _merge_order(item):
    return item.order, item.split, item.path, item.captions, item.fault


def _assign_chunk(item, counts, chunk_images):
    """(the name of the item's chunk, the item)."""
    chunks = -(-counts[item.split] // chunk_images)
    number = stable_hash(item.id) % chunks
    return f"{item.split}-{number:05d}-of-{chunks:05d}", item


def _chunk_order(item):
    return stable_hash(item.id), item.id, item.fault, item.captions


class Loaded(NamedTuple):
    """A loaded and checked image.

    Attributes:
        record: its `Record`.
        failures: the failures of single captions, which the record lacks.
        content: the hash of its pixels.
    """

    record: Record
    failures: list
    content: str


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
        failures = []
        contents = {}
        for item in sorted(items, key=_chunk_order):
            try:
                loaded = self._load(item)
                failures += loaded.failures
                record = self._with_boxes(loaded.record)
                records.append(serialize(record))
                contents[item.id] = loaded.content
                _count("captions", len(record.captions))
            except (UserError, OSError, tf.errors.OpError, UnicodeEncodeError) as error:
                left_out = item.captions[0] if item.fault and item.captions else None
                failures.append(_failure(item.id, _reason(error), left_out))
            _count("images_read")
        for failure in failures:
            _count(f"failed: {_reason_of(failure)}")
        _count("images_kept", len(records))
        sidecar = {"images": len(records), "failures": failures, "contents": contents}
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
        record = self._source.load(item)
        record.source_id.encode()
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
        record, failures = _with_usable_captions(record, self._config.max_words)
        return Loaded(record, failures, content.hexdigest()[:16])

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
            failures.append(_failure(record.source_id, error, record.captions[index]))
        else:
            places[index] = len(captions)
            captions.append(caption)
    if not captions:
        errors = "; ".join(failure["error"] for failure in failures)
        raise UserError(f"{NO_CAPTION}: {errors or 'the corpus has none for it'}")
    phrases = []
    for phrase in record.phrases:
        if phrase.caption in places:
            phrases.append(dataclasses.replace(phrase, caption=places[phrase.caption]))
    record = dataclasses.replace(record, captions=tuple(captions), phrases=tuple(phrases))
    return record, failures


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def _count_words(captions):
    return split_words(captions).row_lengths()


def check_captions(captions, max_words):
    """Checks captions as they are found in a corpus; bytes that are not UTF-8 are surrogates.

    Args:
        captions: the captions of one image.
        max_words: the most words that a caption may have.

    Returns:
        [(caption with single spaces, None) or (None, why it cannot be used)].
    """
    clean = []
    for caption in captions:
        text = caption.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        clean.append(" ".join(text.split()))
    numbers = _count_words(clean).numpy() if clean else []
    checked = []
    for caption, text, words in zip(captions, clean, numbers):
        if any("\ud800" <= character <= "\udfff" for character in caption):
            checked.append((None, "caption not UTF-8: save the captions file as UTF-8"))
        elif not words:
            checked.append((None, "caption empty: no words"))
        elif words > max_words:
            error = f"caption too long: {words} words, max_words is {max_words}"
            checked.append((None, error))
        else:
            checked.append((text, None))
    return checked


def _reason(error):
    """An exception as `reason: detail`."""
    if isinstance(error, FileNotFoundError):
        return f"{MISSING}: {error.filename or error}"
    if isinstance(error, UnicodeEncodeError):
        return "id not UTF-8: rename the picture"
    if isinstance(error, UserError):
        return str(error)
    return f"not readable: {error}"


def _failure(id, error, caption=None):
    """A failure as sidecars hold it."""
    failure = {"id": id, "stage": "ExampleGen", "error": " ".join(error.split())[:300]}
    if caption is not None:
        failure["caption"] = caption[:200]
    # Bytes that are not UTF-8 can be read, but must be escaped to be written.
    for key, text in failure.items():
        encoded = text.encode(errors="surrogateescape")
        failure[key] = encoded.decode(errors="backslashreplace")
    return failure


def _reason_of(failure):
    return failure["error"].partition(":")[0]


def _remove_leaks(folder, options):
    """Removes pictures of equal content from all splits but one.

    They stay in the latest of train, val and test, so that the images that are measured on are
    kept.
    """

    def build(pipeline):
        (
            pipeline
            | beam.Create(list(artifacts.finished_chunks(folder)))
            | beam.Reshuffle()
            | "Contents" >> beam.FlatMap(_contents_of)
            | "ByContent" >> beam.GroupByKey()
            | "Leaks" >> beam.FlatMapTuple(_find_leaks)
            | "ByChunk" >> beam.GroupByKey()
            | "Rewrite" >> beam.MapTuple(_remove_from_chunk)
        )

    beam_runner.run_job(build, options, "comparing")


def _contents_of(chunk):
    """Yields (content, (id, chunk)) of each image of a chunk."""
    sidecar = artifacts.read_json(artifacts.sidecar_of(chunk))
    for id, content in sidecar["contents"].items():
        yield content, (id, chunk)


def _find_leaks(_, places):
    """Yields (chunk, (id, error)) of each image to remove among those of equal content."""
    places = sorted(places)
    kept = max((artifacts.split_of(chunk) for _, chunk in places), key=SPLITS.index)
    other = min(id for id, chunk in places if artifacts.split_of(chunk) == kept)
    for id, chunk in places:
        if artifacts.split_of(chunk) != kept:
            yield chunk, (id, f"{LEAK}: also {other} in {kept}, kept there")


def _remove_from_chunk(chunk, leaks):
    """Rewrites a chunk without the leaked images [(id, error)].

    If the job is killed after the chunk's file is replaced and before its sidecar is, the old
    sidecar reports the leak again.
    """
    leaks = dict(leaks)
    leaked = sorted(leaks)
    records = []
    for serialized in artifacts.read_records(chunk):
        if deserialize(serialized).source_id not in leaks:
            records.append(serialized)
    sidecar = artifacts.read_json(artifacts.sidecar_of(chunk))
    contents = sidecar["contents"]
    sidecar["images"] = len(records)
    sidecar["failures"] += [_failure(id, leaks[id]) for id in leaked]
    sidecar["leaked"] = sidecar.get("leaked", []) + [contents[id] for id in leaked]
    sidecar["contents"] = {id: content for id, content in contents.items() if id not in leaks}
    artifacts.write_chunk(chunk, records, sidecar)


def _of_images(failures):
    """The failures that left out an image or a line, not only a caption."""
    return [failure for failure in failures if "caption" not in failure]


def _check_failures(chunks, config):
    images = 0
    failures = []
    for sidecar in chunks.values():
        images += sidecar["images"]
        failures += _of_images(sidecar["failures"])
    counted = [failure for failure in failures if not failure["error"].startswith(IN_NO_SPLIT)]
    total = images + len(counted)
    if not total:
        reasons = f" ({_reasons(failures)})" if failures else ""
        raise UserError(f"{config.source}: no image found{reasons}")
    if len(counted) > config.max_failures * total:
        raise UserError(
            f"{len(counted)} of {total} images and lines are unusable, more than max_failures "
            f"{config.max_failures:g} allows ({_reasons(counted)}); "
            f"the first: {counted[0]['id']}: {counted[0]['error']}"
        )


def _reasons(failures):
    counts = collections.Counter(_reason_of(failure) for failure in failures)
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())


def forget_failures(folder, others):
    """Removes the sidecars of chunks with a failed image or with one of the pictures that leaked.

    The next call then reads these chunks again.

    Args:
        folder: the folder of the chunks.
        others: the folder of what was made of the chunks, under the same names.
    """
    chunks = artifacts.finished_chunks(folder)
    leaked = set()
    for sidecar in chunks.values():
        leaked.update(sidecar.get("leaked", []))
    for path, sidecar in chunks.items():
        if _of_images(sidecar["failures"]) or leaked & set(sidecar["contents"].values()):
            note = artifacts.sidecar_of(path)
            for name in (note, f"{others}/{artifacts.name_of(note)}"):
                if tf.io.gfile.exists(name):
                    tf.io.gfile.remove(name)
