"""Exporting a trained run: the next version of a model for TensorFlow Serving."""

import dataclasses
import json
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from keras_sat.exporting import model_card
from keras_sat.exporting.signatures import ServedCaptioner
from keras_sat.exporting.versions import Batching, next_version
from keras_sat.pictures.formats import MAX_PIXELS
from keras_sat.runs.loading import load_vocabulary
from keras_sat.utils.claim import claimed
from keras_sat.utils.files import atomic
from keras_sat.utils.hashing import write_sums


def export(run, output, batching=None, max_pixels=MAX_PIXELS, version=None):
    """Exports a trained run: its best checkpoint, with its decoding settings.

    Args:
        run: a `Run` or `RunEnsemble`.
        output: the model's folder, which holds one folder per version.
        batching: a `Batching`.
        max_pixels: pictures with more are refused.
        version: a number (default: the next one).

    Returns:
        The new version's folder, which appears whole or not at all.

    Raises:
        UserError: no checkpoint yet, or files of the run that do not fit together; another process
            exports to the folder.
    """
    output = Path(output)
    batching = batching or Batching()
    with claimed(output, "export"):  # another one would take the same number
        return _export(run, output, batching, max_pixels, version)


def _export(run, output, batching, max_pixels, version):
    folder = output / str(version or next_version(output))
    served = {
        "name": output.resolve().name,
        "version": int(folder.name),
        "max_pixels": max_pixels,
        "batching": dataclasses.asdict(batching),
    }
    card = model_card.describe(run, served)
    functions, module = ServedCaptioner(run, max_pixels).trace()
    with atomic(folder) as new:
        tf.saved_model.save(module, str(new), functions)
        vocabulary = load_vocabulary(run).to_text()
        (new / "assets" / "vocabulary.txt").write_text(vocabulary, encoding="utf-8")
        (new / "assets.extra").mkdir()
        warm_up = new / "assets.extra" / "tf_serving_warmup_requests"
        _write_warm_up(warm_up, card["name"], functions, batching)
        # TensorFlow Serving looks for this name, with --enable_per_model_batching_parameters.
        (new / "batching_params.pbtxt").write_text(batching.to_text())
        text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
        (new / "model_card.json").write_text(text, encoding="utf-8")
        (new / "model_card.md").write_text(model_card.to_markdown(card), encoding="utf-8")
        write_sums(new)
    return folder


def _write_warm_up(path, name, functions, batching):
    """Writes a request for each signature and batch size.

    The server runs them before it reports that it is ready.
    """
    grey = tf.io.encode_jpeg(tf.fill([64, 64, 3], tf.constant(128, tf.uint8))).numpy()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, function in functions.items():
            _, specs = function.structured_input_signature
            for size in batching.allowed_batch_sizes:
                request = _warm_up_request(name, signature, specs, size, grey)
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString(deterministic=True))


def _warm_up_request(name, signature, specs, size, picture):
    spec = model_pb2.ModelSpec(name=name, signature_name=signature)
    request = predict_pb2.PredictRequest(model_spec=spec)
    blanks = {"image_bytes": picture, "caption": b""}
    for key, spec in specs.items():
        blank = tf.constant(blanks.get(key, 0.0), spec.dtype)
        values = tf.fill([size, *spec.shape[1:]], blank)
        request.inputs[key].CopyFrom(tf.make_tensor_proto(values))
    return request
