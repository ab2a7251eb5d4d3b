"""Transform: adds CNN features and object proposals to records, then joins chunks to shards.

No picture or feature is shuffled. Only file names travel between workers.
"""

import dataclasses
import zlib

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.ml.inference.base import KeyedModelHandler, PredictionResult, RunInference
from apache_beam.ml.inference.tensorflow_inference import TFModelHandlerNumpy

from keras_sat.data.examples import serialize
from keras_sat.data.quantisation import dequantise, quantise
from keras_sat.encoder import cnn  # noqa: F401  registers the encoders' layers for the workers
from keras_sat.encoder.inputs import PICTURES, picture_inputs, random_crop
from pipeline.preparation import artifacts, beam_runner, leaks
from pipeline.sources.base import SPLITS

_CNN_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A chunk on its way through the CNNs.

    Attributes:
        path: the chunk's file.
        records: its `Record`s.
        maps: {name of an encoder: its pictures uint8 [n, S, S, 3], or its features [n, h, w, D]
            once the CNN has run}. There are more pictures than records if other views of the
            records' pictures follow.
    """

    path: str
    records: list
    maps: dict


def add_features(chunks, encoders, config, folder, options):
    """Runs the CNN over chunks of ExampleGen; each becomes a chunk of the same name in `folder`.

    Its sidecar is {"images", "records" (their bytes), "maps": {input: {"shape", "squared_error",
    "squared_norm"}}}. The errors are those of the quantisation.

    Args:
        chunks: {chunk file: {"images", "leaked": ids of images to leave out}}.
        encoders: {"features": the saved encoder's path}, and "region_features" if the proposals ask
            for a larger picture.
        config: a `keras_sat.config.Prepare`.
        folder: where the new chunks are written.
        options: Beam's options.
    """
    done = {artifacts.name_of(path) for path in artifacts.finished_chunks(folder)}
    waiting = []
    for path, chunk in chunks.items():
        if artifacts.name_of(path) not in done:
            waiting.append((path, chunk["leaked"]))
    images = sum(chunk["images"] for chunk in chunks.values())

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

    beam_runner.run_job(build, options, "features", folder, images)


def _decode(element, config, encoders):
    """The `Chunk` of a file, with the records' proposals and the pictures of each encoder.

    Args:
        element: (the chunk's file, the ids of images to leave out).
        config: a `keras_sat.config.Prepare`.
        encoders: as in `add_features`.
    """
    path, leaked = element
    encoder = {"image_size": config.encoder.pixels, "resize": config.encoder.resize}
    names = [PICTURES[name] for name in encoders]
    regions = None
    if config.proposals.method != "none":
        regions = dataclasses.asdict(config.proposals)
        names += ["boxes", "scores"]
    records = list(leaks.read_kept(path, leaked))
    inputs = []
    for index, record in enumerate(records):
        found = picture_inputs(record.encoded, names, encoder, regions, record.proposals)
        if regions:
            boxes = found["boxes"][: len(found["scores"])]
            records[index] = dataclasses.replace(record, proposals=(boxes, found["scores"]))
        inputs.append(found)
    sizes = {"features": config.encoder.pixels, "region_features": config.proposals.image_size}
    pictures = {}
    for name in encoders:
        size = sizes[name]
        stacked = np.reshape([found[PICTURES[name]] for found in inputs], [-1, size, size, 3])
        pictures[name] = stacked.astype(np.uint8)
    if artifacts.split_of(path) == "train":
        pictures["features"] = _with_views(pictures["features"], records, config, encoder)
    return Chunk(path, records, pictures)


def _with_views(pictures, records, config, encoder):
    """The pictures, followed by all their horizontal flips, all first crops, all second crops, …

    The first crop, the third one and so on are flipped as well.

    Args:
        pictures: uint8 [n, S, S, 3].
        records: the n `Record`s.
        config: a `keras_sat.config.Prepare`.
        encoder: as in `keras_sat.encoder.cnn.random_crop`.

    Returns:
        uint8 [n · views, S, S, 3].
    """
    views = [pictures]
    if config.mirror:
        views.append(pictures[:, :, ::-1])
    for number in range(config.crops):
        crops = []
        for record in records:
            seed = [config.seed, zlib.crc32(record.source_id.encode()), number]
            crops.append(random_crop(record.encoded, encoder, seed))
        stacked = np.stack(crops)
        views.append(stacked[:, :, ::-1] if number % 2 == 0 else stacked)
    return np.concatenate(views)


def _take(chunk, name):
    """(the chunk without these pictures, the pictures): the key and the input of the CNN.

    The chunk travels along with the pictures, so that nothing is shuffled before it is written.
    """
    others = {key: pictures for key, pictures in chunk.maps.items() if key != name}
    return dataclasses.replace(chunk, maps=others), chunk.maps[name]


def _put(element, name):
    """The chunk with the features that the CNN made of its pictures."""
    chunk, prediction = element
    return dataclasses.replace(chunk, maps=chunk.maps | {name: prediction.inference})


class EncoderHandler(TFModelHandlerNumpy):
    """The saved encoder as one graph for any number of pictures.

    Keras would trace a graph for each number of pictures and in each thread.
    """

    def load_model(self):
        model = super().load_model()
        spec = tf.TensorSpec(model.input_shape, tf.uint8)
        return tf.function(lambda pictures: model(pictures, training=False), input_signature=[spec])


def _infer(encoder, batch, inference_args, model_id=None):
    """Yields the features of each chunk's pictures.

    A chunk is one element, and the CNN sees it in batches of a fixed size. Its bytes therefore do
    not depend on how Beam bundles elements.
    """
    for pictures in batch:
        parts = []
        for first in range(0, max(len(pictures), 1), _CNN_BATCH):
            parts.append(encoder(pictures[first : first + _CNN_BATCH]).numpy())
        yield PredictionResult(None, np.concatenate(parts))


def _write(chunk, config, folder):
    """Writes a chunk with features and its sidecar."""
    count = len(chunk.records)
    made = _by_field(chunk.maps, count)
    maps = {}
    for name in chunk.maps:
        shape = list(made[name].shape[1:])
        maps[name] = {"shape": shape, "squared_error": 0.0, "squared_norm": 0.0}
    serialized = []
    for index, record in enumerate(chunk.records):
        changes = {}
        if not config.keep_pictures:
            changes["encoded"] = b""
        for name, features in made.items():
            stored = _quantised(features[index], config.encoder.quantisation)
            changes[name] = stored
            if name in maps:
                error, norm = _squared_error(features[index], stored)
                maps[name]["squared_error"] += error
                maps[name]["squared_norm"] += norm
        serialized.append(serialize(dataclasses.replace(record, **changes)))
    size = sum(len(each) for each in serialized)
    sidecar = {"images": count, "records": size, "maps": maps}
    artifacts.write_chunk(f"{folder}/{artifacts.name_of(chunk.path)}", serialized, sidecar)


def _by_field(maps, count):
    """The feature maps by the record's field that holds them.

    Args:
        maps: {name: features}; those of the encoder hold all views, see `_with_views`.
        count: the number of records.

    Returns:
        {field: [count, h, w, D]}; `cropped_features` is [count, crops, h, w, D].
    """
    made = dict(maps)
    views = len(maps["features"]) // count if count else 1
    if views > 1:
        whole, mirrored, *crops = np.split(maps["features"], views)
        made["features"] = whole
        made["mirrored_features"] = mirrored
        if crops:
            made["cropped_features"] = np.stack(crops, axis=1)
    return made


def _quantised(features, quantisation):
    """One image's features [..., D] as a record holds them: (values [..., D], minimum, scale)."""
    regions = features.reshape(-1, features.shape[-1])  # [L, D]
    values, minimum, scale = quantise(regions, quantisation)
    if minimum is not None:
        minimum = minimum.numpy()
        scale = scale.numpy()
    return values.numpy().reshape(features.shape), minimum, scale


def _squared_error(features, stored):
    """(sum of the squared differences of stored features, sum of the squared features)."""
    values, minimum, scale = stored
    regions = features.reshape(-1, features.shape[-1])  # [L, D]
    found = dequantise(values.reshape(regions.shape), minimum, scale).numpy()
    return float(np.sum((found - regions) ** 2)), float(np.sum(regions**2))


def write_shards(chunks, folder, shard_bytes, options):
    """Concatenates chunks, in order, to `folder`/SPLIT-i-of-n.tfrecord.

    Args:
        chunks: {chunk file: sidecar} of `add_features`.
        folder: where the shards are written.
        shard_bytes: about how many bytes of records a shard holds.
        options: Beam's options.

    Returns:
        {split: [{"name", "images", "bytes", "sha256"}]}.
    """
    plan = []
    for split in SPLITS:
        members = {
            path: sidecar for path, sidecar in chunks.items() if artifacts.split_of(path) == split
        }
        groups = _group_by_size(members, shard_bytes)
        for index, paths in enumerate(groups):
            images = sum(chunks[path]["images"] for path in paths)
            shard = f"{folder}/{split}-{index:05d}-of-{len(groups):05d}.tfrecord"
            plan.append((shard, paths, images))

    def build(pipeline):
        (
            pipeline
            | beam.Create(plan)
            | beam.Reshuffle()
            | "Concatenate" >> beam.MapTuple(_write_shard)
        )

    beam_runner.run_job(build, options, "sharding")
    shards = {}
    for path, _, _ in plan:
        sidecar = artifacts.sidecar_of(path)
        shard = {"name": artifacts.name_of(path), **artifacts.read_json(sidecar)}
        shards.setdefault(artifacts.split_of(path), []).append(shard)
        tf.io.gfile.remove(sidecar)
    return shards


def _group_by_size(chunks, shard_bytes):
    """Lists of the chunks {file: sidecar} that make one shard each. Empty chunks are left out."""
    groups = {}
    end = 0
    for path, sidecar in chunks.items():
        end += sidecar["records"]
        if sidecar["images"]:
            groups.setdefault((end - 1) // shard_bytes, []).append(path)
    return list(groups.values())


def _write_shard(path, chunks, images):
    """Writes a shard, and a sidecar that tells the main process of it."""
    written = artifacts.concatenate(chunks, path)
    artifacts.write_json(artifacts.sidecar_of(path), {"images": images, **written})
