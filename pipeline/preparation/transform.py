"""Transform: records → records with CNN features and object proposals, chunk by chunk, then chunks → shards.

No picture or feature is shuffled: what travels between workers are file names.
"""

import dataclasses
import zlib

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.ml.inference.tensorflow_inference import TFModelHandlerNumpy

from keras_sat.data.quantisation import dequantise, quantise
from keras_sat.encoder import scenes_cnn  # noqa: F401  registers its layers, also where a worker loads the encoder
from keras_sat.encoder.inputs import PICTURES, picture_inputs, random_crop
from pipeline.preparation import artifacts, beam_runner
from pipeline.sources.base import SPLITS

_CNN_BATCH = 32


def add_features(chunks, encoders, config, folder, options):
    """Runs the CNN over chunks of ExampleGen; each becomes a chunk of the same name in `folder`.

    Its sidecar: {"images", "records" (bytes), "maps": {input: {"shape", "squared_error", "squared_norm" (of the
    quantisation)}}}.

    Args:
        chunks: {chunk file: sidecar}. config: a `keras_sat.config.Prepare`.
        encoders: {"features": the saved encoder}, and "region_features" where the proposals ask for a larger picture.
    """
    done = {path.rsplit("/", 1)[-1] for path in artifacts.finished_chunks(folder)}
    waiting = [path for path in chunks if path.rsplit("/", 1)[-1] not in done]

    def build(pipeline):
        pictures = (
            pipeline
            | beam.Create(waiting)
            | beam.Reshuffle()
            | "Decode" >> beam.Map(_decode, config, encoders)
        )
        for name, path in encoders.items():
            handler = EncoderHandler(path, inference_fn=_infer, max_batch_size=1)
            pictures = (
                pictures
                | f"Take {name}" >> beam.Map(_take, name)
                | f"CNN {name}" >> RunInference(KeyedModelHandler(handler))
                | f"Put {name}" >> beam.Map(_put, name)
            )
        pictures | "Write" >> beam.Map(_write, config, folder)

    beam_runner.run(
        build, options, "features", folder, sum(sidecar["images"] for sidecar in chunks.values())
    )


def _decode(chunk, config, encoders):
    """{"chunk", "records" with their proposals, and by name the pictures of which features are to be made}.

    Other views of training pictures follow them: all mirror images, then all first cut-outs, and so on.
    """
    from keras_sat.data.examples import deserialize

    encoder = {"image_size": config.encoder.pixels, "resize": config.encoder.resize}
    regions = None if config.proposals.method == "none" else dataclasses.asdict(config.proposals)
    names = [PICTURES[name] for name in encoders] + (["boxes", "scores"] if regions else [])
    records = list(map(deserialize, artifacts.read_records(chunk)))
    images = [
        picture_inputs(record.encoded, names, encoder, regions, record.proposals)
        for record in records
    ]
    if regions:
        proposals = [(image["boxes"][: len(image["scores"])], image["scores"]) for image in images]
        records = [
            dataclasses.replace(record, proposals=each) for record, each in zip(records, proposals)
        ]
    sizes = {"features": config.encoder.pixels, "region_features": config.proposals.image_size}
    pictures = {
        name: np.reshape([image[PICTURES[name]] for image in images], [-1, size, size, 3]).astype(
            np.uint8
        )
        for name, size in sizes.items()
        if name in encoders
    }
    if artifacts.split_of(chunk) == "train":
        views = [pictures["features"], *[pictures["features"][:, :, ::-1]] * config.mirror]
        for number in range(config.crops):
            crops = [
                random_crop(record.encoded, encoder, _seed(config, record, number))
                for record in records
            ]
            views.append(np.stack(crops)[:, :, :: 1 if number % 2 else -1])
        pictures["features"] = np.concatenate(views)
    return {"chunk": chunk, "records": records, **pictures}


def _seed(config, record, number):
    return [config.seed, zlib.crc32(record.source_id.encode()), number]


def _take(chunk, name):
    """What the CNN is to see, beside all else: nothing is shuffled before the chunk is written."""
    return {key: value for key, value in chunk.items() if key != name}, chunk[name]


def _put(element, name):
    chunk, prediction = element
    return chunk | {name: prediction.inference}


class EncoderHandler(TFModelHandlerNumpy):
    """The saved encoder as one graph for any number of pictures: Keras would trace one anew for each and in each thread."""

    def load_model(self):
        model = super().load_model()
        return tf.function(
            lambda pictures: model(pictures, training=False),
            input_signature=[tf.TensorSpec(model.input_shape, tf.uint8)],
        )


def _infer(encoder, batch, inference_args, model_id=None):
    """A chunk is one element, so that its bytes do not depend on how Beam bundles; the CNN sees it in fixed batches."""
    from apache_beam.ml.inference.base import PredictionResult

    for images in batch:
        parts = [
            encoder(images[i : i + _CNN_BATCH]).numpy()
            for i in range(0, len(images) or 1, _CNN_BATCH)
        ]
        yield PredictionResult(None, np.concatenate(parts))


def _write(chunk, config, folder):
    from keras_sat.data.examples import MAPS, serialize

    serialized, count = [], len(chunk["records"])
    made = {name: chunk[name] for name in MAPS if name in chunk}
    maps = {
        name: {"shape": list(each.shape[1:]), "squared_error": 0.0, "squared_norm": 0.0}
        for name, each in made.items()
    }
    if len(made["features"]) > count:
        made["features"], made["mirrored_features"], *crops = np.split(
            made["features"], len(made["features"]) // count
        )
        if crops:
            made["cropped_features"] = np.stack(crops, axis=1)
    for index, record in enumerate(chunk["records"]):
        changes = {} if config.keep_pictures else {"encoded": b""}
        for name, features in made.items():
            regions = features[index].reshape(-1, features.shape[-1])
            stored = quantise(regions, config.encoder.quantisation)
            values, minimum, scale = (each if each is None else each.numpy() for each in stored)
            if name in maps:
                maps[name]["squared_error"] += float(
                    np.sum((dequantise(values, minimum, scale).numpy() - regions) ** 2)
                )
                maps[name]["squared_norm"] += float(np.sum(regions**2))
            changes[name] = values.reshape(features.shape[1:]), minimum, scale
        serialized.append(serialize(dataclasses.replace(record, **changes)))
    sidecar = {"images": len(serialized), "records": sum(map(len, serialized)), "maps": maps}
    artifacts.write_chunk(f"{folder}/{chunk['chunk'].rsplit('/', 1)[-1]}", serialized, sidecar)


def write_shards(chunks, folder, shard_bytes, options):
    """Concatenates chunks, in order, to `folder`/SPLIT-i-of-n.tfrecord.

    Args:
        chunks: {chunk file: sidecar} of `add_features`.
    Returns:
        {split: [{"name", "images", "bytes", "sha256"}]}.
    """
    plan = []
    for split in sorted({artifacts.split_of(path) for path in chunks}, key=SPLITS.index):
        paths = [path for path in chunks if artifacts.split_of(path) == split]
        groups = {}
        ends = np.cumsum([chunks[path]["records"] for path in paths])
        for path, end in zip(paths, ends):
            if chunks[path]["images"]:
                groups.setdefault((end - 1) // shard_bytes, []).append(path)
        for index, members in enumerate(groups.values()):
            plan.append((f"{folder}/{split}-{index:05d}-of-{len(groups):05d}.tfrecord", members))

    def concatenate(element):
        target, members = element
        written = artifacts.concatenate(members, target)
        artifacts.write_json(
            artifacts.sidecar_of(target),
            {"images": sum(chunks[m]["images"] for m in members), **written},
        )

    def build(pipeline):
        pipeline | beam.Create(plan) | beam.Reshuffle() | "Concatenate" >> beam.Map(concatenate)

    beam_runner.run(build, options, "sharding")
    shards = {}
    for target, _ in plan:
        sidecar = artifacts.sidecar_of(target)
        name = target.rsplit("/", 1)[-1]
        shards.setdefault(artifacts.split_of(target), []).append(
            {"name": name, **artifacts.read_json(sidecar)}
        )
        tf.io.gfile.remove(sidecar)
    return shards
