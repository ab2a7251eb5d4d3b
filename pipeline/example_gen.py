"""ExampleGen: source → checked records, in chunk files.

Only ids are shuffled. A chunk's images are those whose id's hash falls into it, so file names, order and bytes do not
depend on the listing's order, on workers or on restarts; within a chunk the order is that of the hash, so the data set
is mixed once and for all.
"""

import dataclasses
import hashlib

import apache_beam as beam
import tensorflow as tf
from apache_beam.metrics import Metrics

from keras_sat.encoder import decode_image
from keras_sat.errors import UserError
from keras_sat.proposals import read_boxes_file
from pipeline import artifacts, beam_runner


def run(source, config, folder, options):
    """Writes `folder`/SPLIT-i-of-n.tfrecord and a sidecar each: {"images": int, "failures": [{id, stage, error}]}.

    Args:
        source: a `pipeline.sources.Source`. config: a `keras_sat.config.Prepare`. options: Beam's.
    Raises:
        UserError: no image at all, or more unusable ones than `config.max_failures` allows.
    """

    def build(pipeline):
        items = (
            pipeline
            | "Partitions" >> beam.Create(source.partitions())
            | "ShareListing" >> beam.Reshuffle()
            | "List" >> beam.FlatMap(source.list_items)
        )
        counts = items | "Split" >> beam.Map(lambda item: item.split) | "Count" >> beam.combiners.Count.PerElement()
        (
            items
            | "Assign" >> beam.Map(_assign, beam.pvalue.AsDict(counts), config.chunk_images)
            | "Chunks" >> beam.GroupByKey()
            | "Load" >> beam.ParDo(LoadChunk(source, config, folder))
        )

    beam_runner.run(build, options, "reading", folder)
    _check_failures(artifacts.finished_chunks(folder).values(), config)


def _hash(item):
    return int.from_bytes(hashlib.sha256(item.id.encode()).digest()[:8], "big")


def _assign(item, counts, chunk_images):
    chunks = -(-counts[item.split] // chunk_images)
    return f"{item.split}-{_hash(item) % chunks:05d}-of-{chunks:05d}", item


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
        records, failures = [], []
        for item in sorted(items, key=lambda item: (_hash(item), item.id)):
            try:
                record = self._source.load(item)
                self._check(record)
                if self._boxes is not None:
                    record = dataclasses.replace(record, proposals=self._boxes_of(item.id))
                records.append(serialize(record))
            except (UserError, OSError, tf.errors.InvalidArgumentError) as error:
                message = " ".join(str(getattr(error, "message", error)).split())
                failures.append({"id": item.id, "stage": "ExampleGen", "error": message})
            Metrics.counter("ExampleGen", "images").inc()
        artifacts.write_chunk(path, records, {"images": len(records), "failures": failures})

    def _boxes_of(self, name):
        if name not in self._boxes:
            raise UserError(f"no boxes in {self._config.proposals.file}")
        return self._boxes[name]

    def _check(self, record):
        if not any(caption.strip() for caption in record.captions):
            raise UserError("no caption")
        if not record.encoded:
            raise UserError("empty file")
        if record.height * record.width > self._config.max_pixels:
            raise UserError(f"{record.height}x{record.width} pixels, more than max_pixels")
        decode_image(record.encoded, self._config.encoder.pixels, self._config.encoder.resize)


def _check_failures(sidecars, config):
    images = sum(sidecar["images"] for sidecar in sidecars)
    failures = [failure for sidecar in sidecars for failure in sidecar["failures"]]
    if not images and not failures:
        raise UserError(f"{config.source}: no image found")
    if len(failures) > config.max_failures * (images + len(failures)):
        raise UserError(
            f"{len(failures)} of {images + len(failures)} images are unusable, more than max_failures "
            f"{config.max_failures:g} allows; the first: {failures[0]['id']}: {failures[0]['error']}"
        )
