"""Transform: records → records with CNN features, chunk by chunk, then chunks → shards.

No picture or feature is shuffled: what travels between workers are file names.
"""

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.ml.inference.tensorflow_inference import TFModelHandlerNumpy

from keras_sat.data import scenes_cnn  # noqa: F401  registers its layers, also where a worker loads the encoder
from keras_sat.encoder import decode_image, dequantise, quantise
from pipeline import artifacts, beam_runner
from pipeline.sources import SPLITS

_CNN_BATCH = 32


def add_features(chunks, encoder_path, config, folder, options):
    """Runs the CNN over chunks of ExampleGen; each becomes a chunk of the same name in `folder`.

    Its sidecar: {"images", "records" (bytes), "shape", "squared_error", "squared_norm" (of the quantisation)}.

    Args:
        chunks: {chunk file: sidecar}. encoder_path: the saved encoder. config: a `keras_sat.config.Encoder`.
    """
    done = {path.rsplit("/", 1)[-1] for path in artifacts.finished_chunks(folder)}
    waiting = [path for path in chunks if path.rsplit("/", 1)[-1] not in done]
    handler = TFModelHandlerNumpy(encoder_path, inference_fn=_infer, max_batch_size=1)

    def build(pipeline):
        (
            pipeline
            | beam.Create(waiting)
            | beam.Reshuffle()
            | "Decode" >> beam.Map(_decode, config.pixels, config.resize)
            | "CNN" >> RunInference(KeyedModelHandler(handler))
            | "Write" >> beam.Map(_write, config.quantisation, folder)
        )

    beam_runner.run(build, options, "features", folder, sum(sidecar["images"] for sidecar in chunks.values()))


def _decode(chunk, pixels, resize):
    from keras_sat.data.examples import deserialize

    images = [decode_image(deserialize(r).encoded, pixels, resize).numpy() for r in artifacts.read_records(chunk)]
    return chunk, np.reshape(images, [-1, pixels, pixels, 3]).astype(np.uint8)


def _infer(model, batch, inference_args, model_id=None):
    """A chunk is one element, so that its bytes do not depend on how Beam bundles; the CNN sees it in fixed batches."""
    from apache_beam.ml.inference.base import PredictionResult

    for images in batch:
        parts = [model.predict_on_batch(images[i : i + _CNN_BATCH]) for i in range(0, len(images), _CNN_BATCH)]
        yield PredictionResult(None, np.concatenate(parts) if parts else np.zeros([0, *model.output_shape[1:]]))


def _write(element, quantisation, folder):
    from keras_sat.data.examples import deserialize, serialize

    chunk, prediction = element
    serialized, error, norm = [], 0.0, 0.0
    for record, features in zip(artifacts.read_records(chunk), prediction.inference):
        regions = features.reshape(-1, features.shape[-1])
        values, minimum, scale = quantise(regions, quantisation)
        error += float(np.sum((dequantise(values, minimum, scale).numpy() - regions) ** 2))
        norm += float(np.sum(regions**2))
        serialized.append(serialize(deserialize(record).with_features(values.reshape(features.shape), minimum, scale)))
    sidecar = {
        "images": len(serialized),
        "records": sum(map(len, serialized)),
        "shape": list(prediction.inference.shape[1:]),
        "squared_error": error,
        "squared_norm": norm,
    }
    artifacts.write_chunk(f"{folder}/{chunk.rsplit('/', 1)[-1]}", serialized, sidecar)


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
        artifacts.write_json(artifacts.sidecar_of(target), {"images": sum(chunks[m]["images"] for m in members), **written})

    def build(pipeline):
        pipeline | beam.Create(plan) | beam.Reshuffle() | "Concatenate" >> beam.Map(concatenate)

    beam_runner.run(build, options, "sharding")
    shards = {}
    for target, _ in plan:
        sidecar = artifacts.sidecar_of(target)
        name = target.rsplit("/", 1)[-1]
        shards.setdefault(artifacts.split_of(target), []).append({"name": name, **artifacts.read_json(sidecar)})
        tf.io.gfile.remove(sidecar)
    return shards
