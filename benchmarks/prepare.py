"""python -m benchmarks.prepare --images 500 --config configs/xu_flickr8k_soft.yaml --set source=DIR

Images a second of the whole preparation beside the bare rate of decoding + CNN, in one run: a loop over one half of the
pictures, the job over all of them, the loop over the other half. The loop is as fast as such a loop gets: tf.data reads and
decodes on all cores ahead of the CNN, whose loading is not counted there, but is in the job.
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.utils.errors import UserError, command
from pipeline.sources.base import Source, stable_hash


class Sample(Source):
    """About so many images of another source, chosen by the hash of their ids."""

    def __init__(self, source, share):
        self._source, self._share = source, share

    def partitions(self):
        return self._source.partitions()

    def load(self, item):
        return self._source.load(item)

    def fingerprint(self):
        return f"{self._source.fingerprint()} × {self._share}"

    def list_items(self, partition):
        return (
            item
            for item in self._source.list_items(partition)
            if stable_hash(item.id) / 2**64 < self._share
        )


def measure(config, images):
    """(images measured, {"loop" and each component: [seconds, processor seconds]}); the loop's are of all the images."""
    logging.getLogger().setLevel(
        logging.CRITICAL
    )  # as in the job: Beam warns of what is not installed
    import numpy as np
    import tensorflow as tf

    from keras_sat.encoder.cnn import build_encoder
    from keras_sat.pictures.decode import decode_image
    from pipeline.preparation import beam_runner, example_gen, statistics_gen, transform
    from pipeline.preparation.artifacts import finished_chunks
    from pipeline.sources.registry import open_source

    source = open_source(config)

    def merged(source):
        parts = {}
        for partition in source.partitions():
            for item in source.list_items(partition):
                parts.setdefault(item.id, []).append(item)
        return [
            item for each in parts.values() for item in example_gen.merge(each) if not item.fault
        ]

    sample = Sample(source, images / len(merged(source)))
    items, options, pixels = merged(sample), beam_runner.beam_options([]), config.encoder.pixels
    if not items:
        raise UserError(f"{config.source}: none of its images among {images}; take more --images")
    encoder = build_encoder(config.encoder)
    cnn = tf.function(encoder, input_signature=[tf.TensorSpec(encoder.input_shape, tf.uint8)])
    cnn(np.zeros([32, pixels, pixels, 3], np.uint8))

    def loop(items):
        encoded = tf.data.Dataset.from_generator(
            lambda: (sample.load(item).encoded for item in items),
            output_signature=tf.TensorSpec([], tf.string),
        )
        pictures = encoded.map(
            lambda each: decode_image(each, pixels, config.encoder.resize), tf.data.AUTOTUNE
        )
        for batch in pictures.batch(32).prefetch(tf.data.AUTOTUNE):
            cnn(batch).numpy()

    seconds = {}

    def timed(name, work, *args):
        start = clocks()
        work(*args)
        seconds[name] = seconds.get(name, 0) + clocks() - start

    def clocks():
        return np.array([time.monotonic(), time.process_time()])

    with tempfile.TemporaryDirectory(dir=".") as folder:
        names = {name: f"{folder}/{name}" for name in ("examples", "features", "shards")}
        for path in names.values():
            Path(path).mkdir()
        encoder.save(f"{folder}/encoder.keras")
        timed("loop", loop, items[: len(items) // 2])
        timed(
            "ExampleGen", example_gen.generate_examples, sample, config, names["examples"], options
        )
        chunks = finished_chunks(names["examples"])
        timed(
            "StatisticsGen",
            statistics_gen.count_values,
            list(chunks),
            f"{folder}/counts.json",
            options,
        )
        arguments = (
            chunks,
            {"features": f"{folder}/encoder.keras"},
            config,
            names["features"],
            options,
        )
        timed("features", transform.add_features, *arguments)
        arguments = (
            finished_chunks(names["features"]),
            names["shards"],
            config.shard_megabytes << 20,
            options,
        )
        timed("shards", transform.write_shards, *arguments)
        timed("loop", loop, items[len(items) // 2 :])
    return len(items), seconds


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.prepare", description=__doc__.split("\n\n")[1]
    )
    parser.add_argument(
        "--config", metavar="YAML", help="an experiment whose `prepare` section is measured"
    )
    parser.add_argument(
        "--images", type=int, default=500, metavar="N", help="about so many (default: %(default)s)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any key of `prepare`"
    )
    args = parser.parse_args(arguments)
    config = configuration.load(args.config, [f"prepare.{text}" for text in args.set]).prepare
    images, seconds = measure(config, args.images)
    print(", ".join(f"{name} {wall:.1f} s" for name, (wall, _) in seconds.items()))
    loop = seconds.pop("loop")
    job = sum(seconds.values())
    rates, (ratio, by_processor) = [images / each[0] for each in (loop, job)], loop / job
    print(
        f"{images} images: loop {rates[0]:.2f} images/s, job {rates[1]:.2f} images/s, ratio {ratio:.2f}; "
        f"by processor time, which other work on the machine changes less, {by_processor:.2f}"
    )


if __name__ == "__main__":
    main()
