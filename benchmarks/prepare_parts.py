"""Measures the parts of the preparation, and decoding + CNN alone, for benchmarks/prepare.py."""

import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_sat.encoder.cnn import build_encoder
from keras_sat.pictures.decode import decode_image
from keras_sat.utils.errors import UserError
from pipeline.preparation import beam_runner, example_gen, statistics_gen, transform
from pipeline.preparation.artifacts import finished_chunks
from pipeline.sources.base import Source, stable_hash
from pipeline.sources.registry import open_source


class Sample(Source):
    """A share of the images of another source, chosen by the hash of their ids."""

    def __init__(self, source, share):
        self._source = source
        self._share = share

    def partitions(self):
        return self._source.partitions()

    def load(self, item):
        return self._source.load(item)

    def fingerprint(self):
        return f"{self._source.fingerprint()} × {self._share}"

    def list_items(self, partition):
        for item in self._source.list_items(partition):
            if stable_hash(item.id) / 2**64 < self._share:
                yield item


class Stopwatch:
    """Adds up the time of named work.

    seconds: {name: [seconds, processor seconds]}.
    """

    def __init__(self):
        self.seconds = {}

    def run(self, name, work, *args):
        start = self._now()
        work(*args)
        self.seconds[name] = self.seconds.get(name, 0) + self._now() - start

    @staticmethod
    def _now():
        return np.array([time.monotonic(), time.process_time()])


class BareLoop:
    """Decodes a source's pictures and runs the CNN on them, with nothing else."""

    def __init__(self, source, settings):
        self.encoder = build_encoder(settings)
        self._source = source
        self._settings = settings
        signature = [tf.TensorSpec(self.encoder.input_shape, tf.uint8)]
        self._cnn = tf.function(self.encoder, input_signature=signature)
        self._cnn(np.zeros([32, settings.pixels, settings.pixels, 3], np.uint8))  # compiles

    def __call__(self, items):
        def encoded():
            for item in items:
                yield self._source.load(item).encoded

        def decode(data):
            return decode_image(data, self._settings.pixels, self._settings.resize)

        files = tf.data.Dataset.from_generator(
            encoded, output_signature=tf.TensorSpec([], tf.string)
        )
        pictures = files.map(decode, tf.data.AUTOTUNE)
        for batch in pictures.batch(32).prefetch(tf.data.AUTOTUNE):
            self._cnn(batch).numpy()


def _items_of(source):
    """The source's items without a fault, one per image."""
    parts = {}
    for partition in source.partitions():
        for item in source.list_items(partition):
            parts.setdefault(item.id, []).append(item)
    items = []
    for each in parts.values():
        items += [item for item in example_gen.merge(each) if not item.fault]
    return items


def measure(config, images):
    """Measures the job and the loop.

    Args:
        config: the `prepare` section of an experiment.
        images: about so many.
    Returns:
        How many images were measured, and {"loop" or a component: [seconds, processor seconds]}.
        The loop's two halves are added.
    """
    source = open_source(config)
    sample = Sample(source, images / len(_items_of(source)))
    items = _items_of(sample)
    if not items:
        raise UserError(f"{config.source}: none of its images among {images}; take more --images")
    options = beam_runner.beam_options([])
    loop = BareLoop(sample, config.encoder)
    half = len(items) // 2
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        examples = _subfolder(folder, "examples")
        features = _subfolder(folder, "features")
        shards = _subfolder(folder, "shards")
        encoder = f"{folder}/encoder.keras"
        loop.encoder.save(encoder)
        watch.run("loop", loop, items[:half])
        watch.run("ExampleGen", example_gen.generate_examples, sample, config, examples, options)
        chunks = {}
        for path, sidecar in finished_chunks(examples).items():
            chunks[path] = {"images": sidecar["images"], "leaked": []}
        counts = f"{folder}/counts.json"
        watch.run("StatisticsGen", statistics_gen.count_values, chunks, counts, options)
        encoders = {"features": encoder}
        watch.run("features", transform.add_features, chunks, encoders, config, features, options)
        chunks = finished_chunks(features)
        size = config.shard_megabytes << 20
        watch.run("shards", transform.write_shards, chunks, shards, size, options)
        watch.run("loop", loop, items[half:])
    return len(items), watch.seconds


def _subfolder(folder, name):
    path = Path(folder) / name
    path.mkdir()
    return str(path)
