"""ExampleGen: source → checked records, in chunk files.

Only ids, paths and captions are shuffled. A chunk's images are those whose id's hash falls into it, so file names, order
and bytes do not depend on the listing's order, on workers or on restarts; within a chunk the order is that of the hash,
so the data set is mixed once and for all.
"""

import collections
import dataclasses
import hashlib
import math

import apache_beam as beam
import tensorflow as tf
from apache_beam.metrics import Metrics

from keras_sat.pictures.decode import decode_picture, picture_fault
from keras_sat.pictures.proposals import read_boxes_file
from keras_sat.text.tokeniser import split
from keras_sat.utils.errors import UserError
from pipeline.preparation import artifacts, beam_runner
from pipeline.sources.base import SPLITS, UNSPLIT, Item, stable_hash

LEAK = "same picture in two splits"
TWO_SPLITS = "same id in two splits"
MISSING = "picture missing"
NO_CAPTION = "no caption"
IN_NO_SPLIT = "in no split"


def run(source, config, folder, options):
    """Writes `folder`/SPLIT-i-of-n.tfrecord and a sidecar each.

    The sidecar: {"images": int, "failures": [{"id", "stage", "error"}], "contents": {id: hash of its pixels}}, and where
    leaks were taken out, "leaked": [their hashes]. `error` is `reason: detail`; a failure with a "caption" left only that
    caption out.

    Args:
        source: a `pipeline.sources.Source`. config: a `keras_sat.config.Prepare`. options: Beam's.
    Raises:
        UserError: no image at all, more unusable ones than `config.max_failures` allows, or pictures to be stored smaller
            than the CNN takes them.
    """
    needed = max(config.encoder.pixels, config.proposals.image_size or 0)
    needed = math.ceil(needed * 256 / 224) if config.encoder.resize == "crop" else needed
    if config.picture_size and config.picture_size < needed:
        raise UserError(
            f"picture_size: {config.picture_size} is less than the {needed} pixels that the CNN takes; raise it"
        )

    def build(pipeline):
        items = (
            pipeline
            | "Partitions" >> beam.Create(source.partitions())
            | "ShareListing" >> beam.Reshuffle()
            | "List" >> beam.FlatMap(source.list_items)
            | "Id" >> beam.Map(lambda item: (item.id.encode(errors="surrogateescape"), item))
            | "ById" >> beam.GroupByKey()
            | "Merge" >> beam.FlatMapTuple(lambda _, parts: merge(list(parts)))
        )
        counts = (
            items
            | "Split" >> beam.Map(lambda item: item.split)
            | "Count" >> beam.combiners.Count.PerElement()
        )
        (
            items
            | "Assign" >> beam.Map(_assign, beam.pvalue.AsDict(counts), config.chunk_images)
            | "Chunks" >> beam.GroupByKey()
            | "Load" >> beam.ParDo(LoadChunk(source, config, folder))
        )

    beam_runner.run(build, options, "reading", folder)
    _keep_apart(folder, options)
    _check_failures(artifacts.finished_chunks(folder), config)


def merge(parts):
    """One `Item` of what several places say of an image, and items with a fault for what of it is not taken."""
    parts = sorted(
        parts, key=lambda part: (part.order, part.split, part.path, part.captions, part.fault)
    )
    yield from (part for part in parts if part.fault)
    parts = [part for part in parts if not part.fault]
    splits = [split for split in SPLITS if split in {part.split for part in parts}]
    paths = sorted({part.path for part in parts if part.path})
    split = (
        splits[-1]
        if splits
        else max([part.otherwise for part in parts if part.otherwise], default=UNSPLIT)
    )
    if len(paths) > 1:
        yield Item(parts[0].id, split, fault=f"duplicate id: {', '.join(paths)}")
        return
    for other in splits[:-1]:
        yield Item(parts[0].id, other, fault=f"{TWO_SPLITS}: kept in {split} only")
    captions = {}
    for part in parts:
        if part.captions and captions.setdefault(part.order, part.captions) is not part.captions:
            yield Item(
                part.id,
                split,
                captions=part.captions,
                fault=f"duplicate caption id: {part.order[-1]}",
            )
    if parts:
        yield Item(parts[0].id, split, "".join(paths), sum(captions.values(), ()))


def _assign(item, counts, chunk_images):
    chunks = -(-counts[item.split] // chunk_images)
    return f"{item.split}-{stable_hash(item.id) % chunks:05d}-of-{chunks:05d}", item


class LoadChunk(beam.DoFn):
    """Loads and checks the images of one chunk and writes it, unless an earlier run has."""

    def __init__(self, source, config, folder):
        self._source, self._config, self._folder = source, config, folder

    def setup(self):
        proposals = self._config.proposals
        self._boxes = read_boxes_file(proposals.file, proposals.most) if proposals.file else None

    def process(self, element):
        from keras_sat.data.examples import serialize

        name, items = element
        path = f"{self._folder}/{name}.tfrecord"
        if tf.io.gfile.exists(artifacts.sidecar_of(path)):
            return
        records, failures, contents = [], [], {}
        for item in sorted(
            items, key=lambda item: (stable_hash(item.id), item.id, item.fault, item.captions)
        ):
            try:
                record, dropped, content = self._load(item)
                failures += dropped
                if self._boxes is not None:
                    record = dataclasses.replace(record, proposals=self._boxes_of(item.id))
                records.append(serialize(record))
                contents[item.id] = content
                Metrics.counter("ExampleGen", "captions").inc(len(record.captions))
            except (UserError, OSError, tf.errors.OpError, UnicodeEncodeError) as error:
                left_out = item.captions[0] if item.fault and item.captions else None
                failures.append(_failure(item.id, _reason(error), left_out))
            Metrics.counter("ExampleGen", "images_read").inc()
        for failure in failures:
            Metrics.counter("ExampleGen", f"failed: {failure['error'].partition(':')[0]}").inc()
        Metrics.counter("ExampleGen", "images_kept").inc(len(records))
        artifacts.write_chunk(
            path, records, {"images": len(records), "failures": failures, "contents": contents}
        )

    def _boxes_of(self, name):
        if name not in self._boxes:
            raise UserError(f"no boxes: not in {self._config.proposals.file}")
        return self._boxes[name]

    def _load(self, item):
        """(the checked record, failures of single captions, hash of the pixels)."""
        if item.fault:
            raise UserError(item.fault)
        if item.split == UNSPLIT:
            raise UserError(f"{IN_NO_SPLIT}: the corpus lists it in none")
        record = self._source.load(item)
        record.source_id.encode()
        picture = self._picture(record.encoded)
        content = hashlib.sha256(str(picture.shape).encode() + picture.tobytes())
        if (size := self._config.picture_size) and min(picture.shape[:2]) > size:
            picture = _shrunk(picture, size)
            record = dataclasses.replace(
                record, encoded=tf.io.encode_jpeg(picture, quality=95).numpy()
            )
        kept, dropped = {}, []
        for index, (caption, error) in enumerate(
            check_captions(record.captions, self._config.max_words)
        ):
            if error:
                dropped.append(_failure(item.id, error, record.captions[index]))
            else:
                kept[index] = caption
        if not kept:
            raise UserError(
                f"{NO_CAPTION}: {'; '.join(f['error'] for f in dropped) or 'the corpus has none for it'}"
            )
        places = {index: place for place, index in enumerate(kept)}
        phrases = [
            dataclasses.replace(p, caption=places[p.caption])
            for p in record.phrases
            if p.caption in places
        ]
        record = dataclasses.replace(
            record,
            captions=tuple(kept.values()),
            phrases=tuple(phrases),
            height=picture.shape[0],
            width=picture.shape[1],
        )
        return record, dropped, content.hexdigest()[:16]

    def _picture(self, encoded):
        """Decoded pixels, once the header says that they can be had."""
        if fault := picture_fault(encoded, self._config.max_pixels).numpy().decode():
            raise UserError(fault)
        return decode_picture(encoded).numpy()


def _shrunk(picture, size):
    """uint8 [H, W, 3] with its shorter side of `size` pixels."""
    scale = size / min(picture.shape[:2])
    smaller = tf.image.resize(
        picture, [round(side * scale) for side in picture.shape[:2]], antialias=True
    )
    return tf.cast(tf.clip_by_value(tf.round(smaller), 0, 255), tf.uint8).numpy()


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def _count_words(captions):
    return split(captions).row_lengths()


def check_captions(captions, max_words):
    """[(caption with single spaces, None) or (None, why it cannot be used)]."""
    clean = [
        " ".join(caption.encode("utf-8", "surrogateescape").decode("utf-8", "replace").split())
        for caption in captions
    ]
    checked = []
    for caption, found, words in zip(captions, clean, _count_words(clean).numpy() if clean else []):
        error = None
        if any("\ud800" <= character <= "\udfff" for character in caption):
            error = "caption not UTF-8: save the captions file as UTF-8"
        elif not words:
            error = "caption empty: no words"
        elif words > max_words:
            error = f"caption too long: {words} words, max_words is {max_words}"
        checked.append((None, error) if error else (found, None))
    return checked


def _reason(error):
    if isinstance(error, FileNotFoundError):
        return f"{MISSING}: {error.filename or error}"
    if isinstance(error, tf.errors.OpError):
        # The one line of TensorFlow's message that is about the picture: above it the call stack, below it the graph.
        return f"not decodable: {error.message.partition('[[{{node')[0].strip().splitlines()[-1]}"
    if isinstance(error, UnicodeEncodeError):
        return "id not UTF-8: rename the picture"
    return str(error) if isinstance(error, UserError) else f"not readable: {error}"


def _failure(id, error, caption=None):
    failure = {"id": id, "stage": "ExampleGen", "error": " ".join(error.split())[:300]}
    failure |= {} if caption is None else {"caption": caption[:200]}
    # What is not UTF-8 can be read, but not be written as it is.
    return {
        key: text.encode(errors="surrogateescape").decode(errors="backslashreplace")
        for key, text in failure.items()
    }


def _keep_apart(folder, options):
    """Pictures of equal content in two splits stay only in the later of train, val, test: what is measured on is kept."""

    def contents(chunk):
        for id, content in artifacts.read_json(artifacts.sidecar_of(chunk))["contents"].items():
            yield content, (id, chunk)

    def leaks(_, places):
        places = sorted(places)
        kept = max((artifacts.split_of(chunk) for _, chunk in places), key=SPLITS.index)
        other = min(id for id, chunk in places if artifacts.split_of(chunk) == kept)
        for id, chunk in places:
            if artifacts.split_of(chunk) != kept:
                yield chunk, (id, f"{LEAK}: also {other} in {kept}, kept there")

    def build(pipeline):
        (
            pipeline
            | beam.Create(list(artifacts.finished_chunks(folder)))
            | beam.Reshuffle()
            | "Contents" >> beam.FlatMap(contents)
            | "ByContent" >> beam.GroupByKey()
            | "Leaks" >> beam.FlatMapTuple(leaks)
            | "ByChunk" >> beam.GroupByKey()
            | "Rewrite" >> beam.MapTuple(_rewrite)
        )

    beam_runner.run(build, options, "comparing")


def _rewrite(chunk, leaks):
    """The chunk once more, without these images. Killed between its two files, the old sidecar names the leak again."""
    from keras_sat.data.examples import deserialize

    leaks, sidecar = dict(leaks), artifacts.read_json(artifacts.sidecar_of(chunk))
    records = [
        record
        for record in artifacts.read_records(chunk)
        if deserialize(record).source_id not in leaks
    ]
    sidecar["failures"] += [_failure(id, error) for id, error in sorted(leaks.items())]
    sidecar["leaked"] = sidecar.get("leaked", []) + [
        sidecar["contents"][id] for id in sorted(leaks)
    ]
    sidecar["contents"] = {
        id: content for id, content in sidecar["contents"].items() if id not in leaks
    }
    artifacts.write_chunk(chunk, records, {**sidecar, "images": len(records)})


def _check_failures(chunks, config):
    images = sum(sidecar["images"] for sidecar in chunks.values())
    failures = [
        failure
        for sidecar in chunks.values()
        for failure in sidecar["failures"]
        if "caption" not in failure
    ]
    counted = [failure for failure in failures if not failure["error"].startswith(IN_NO_SPLIT)]
    if not images and not counted:
        raise UserError(
            f"{config.source}: no image found{f' ({_reasons(failures)})' if failures else ''}"
        )
    if len(counted) > config.max_failures * (images + len(counted)):
        raise UserError(
            f"{len(counted)} of {images + len(counted)} images and lines are unusable, more than max_failures "
            f"{config.max_failures:g} allows ({_reasons(counted)}); the first: {counted[0]['id']}: {counted[0]['error']}"
        )


def _reasons(failures):
    counts = collections.Counter(failure["error"].partition(":")[0] for failure in failures)
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())


def forget_failures(folder, others):
    """Lets the next call read the chunks again in which an image failed, and those with the pictures that leaked.

    Args:
        others: a folder with what was made of these chunks, under the same names.
    """
    chunks = artifacts.finished_chunks(folder)
    leaked = {content for sidecar in chunks.values() for content in sidecar.get("leaked", [])}
    for path, sidecar in chunks.items():
        failed = any("caption" not in failure for failure in sidecar["failures"])
        if failed or leaked & set(sidecar["contents"].values()):
            for name in (
                artifacts.sidecar_of(path),
                f"{others}/{artifacts.sidecar_of(path).rsplit('/', 1)[-1]}",
            ):
                if tf.io.gfile.exists(name):
                    tf.io.gfile.remove(name)
