"""python -m keras_sat.export --run runs/scenes_soft --output serving/models/scenes

Writes the next version of a model for TensorFlow Serving: a SavedModel that takes picture bytes and gives captions, with its
vocabulary, warm-up requests, batching parameters and a model card. Several --run caption together, as an ensemble.
"""

import argparse
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from keras_sat.runs import ensemble as ensembles
from keras_sat.utils.errors import UserError, command
from keras_sat.utils.files import atomic

MAX_PIXELS = 50_000_000


@dataclass(frozen=True)
class Batching:
    """How requests are put together; sizes count images. A batch is filled up to a power of two, or to the largest size.

    Raises:
        UserError: a value below 1.
    """

    max_batch_size: int = 64
    batch_timeout_micros: int = 5_000
    max_enqueued_batches: int = 8

    def __post_init__(self):
        for name, value in vars(self).items():
            if value < 1:
                raise UserError(
                    f"--{name.replace('_', '-')}: {value} is out of range, 1 is the least"
                )

    @property
    def allowed_batch_sizes(self):
        return [
            *(1 << n for n in range((self.max_batch_size - 1).bit_length())),
            self.max_batch_size,
        ]

    def to_text(self):
        """TensorFlow Serving's BatchingParameters, in protobuf's text format."""
        values = [f"{name} {{ value: {value} }}" for name, value in vars(self).items()]
        return (
            "\n".join(
                [*values, *(f"allowed_batch_sizes: {size}" for size in self.allowed_batch_sizes)]
            )
            + "\n"
        )


def versions(output):
    """The numbers of a model's versions, the newest first."""
    return sorted(
        (int(each.name) for each in Path(output).glob("*") if each.name.isdigit()), reverse=True
    )


def next_version(output):
    return 1 + max(versions(output), default=0)


def export(run, output, batching=None, max_pixels=MAX_PIXELS, version=None):
    """Exports a trained run: its best checkpoint, with its decoding settings.

    Args:
        run: a `keras_sat.runs.run.Run` or `keras_sat.runs.ensemble.RunEnsemble`. output: the model's folder; in it, each version has
        one. batching: a `Batching`. max_pixels: pictures with more are refused. version: a number (default: the next one).
    Returns:
        The new version's folder, which appears whole or not at all.
    Raises:
        UserError: no checkpoint yet, or files of the run that do not fit together.
    """
    import tensorflow as tf

    from keras_sat.exporting import model_card
    from keras_sat.exporting.signatures import trace

    output, batching = Path(output), batching or Batching()
    folder = output / str(version or next_version(output))
    served = {"name": output.resolve().name, "version": int(folder.name), "max_pixels": max_pixels}
    card = model_card.describe(run, served | {"batching": dataclasses.asdict(batching)})
    functions, module = trace(run, max_pixels)
    with atomic(folder) as new:
        tf.saved_model.save(module, str(new), functions)
        (new / "assets" / "vocabulary.txt").write_text(run.vocabulary().to_text(), encoding="utf-8")
        (new / "assets.extra").mkdir()
        _write_warm_up(
            new / "assets.extra" / "tf_serving_warmup_requests", card["name"], functions, batching
        )
        # The name under which TensorFlow Serving finds it, with --enable_per_model_batching_parameters.
        (new / "batching_params.pbtxt").write_text(batching.to_text())
        (new / "model_card.json").write_text(
            json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (new / "model_card.md").write_text(model_card.to_markdown(card), encoding="utf-8")
    return folder


def _write_warm_up(path, name, functions, batching):
    """A request for each signature and size of batch, which the server runs before it says that it is ready."""
    import tensorflow as tf
    from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

    grey = tf.io.encode_jpeg(tf.fill([64, 64, 3], tf.constant(128, tf.uint8))).numpy()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, function in functions.items():
            for size in batching.allowed_batch_sizes:
                request = predict_pb2.PredictRequest(
                    model_spec=model_pb2.ModelSpec(name=name, signature_name=signature)
                )
                for key, spec in function.structured_input_signature[1].items():
                    blank = {"image_bytes": grey, "caption": b""}.get(key, 0.0)
                    values = tf.fill([size, *spec.shape[1:]], tf.constant(blank, spec.dtype))
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(values))
                predict_log = prediction_log_pb2.PredictLog(request=request)
                writer.write(
                    prediction_log_pb2.PredictionLog(predict_log=predict_log).SerializeToString(
                        deterministic=True
                    )
                )


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m keras_sat.export", description=__doc__.split("\n\n")[1]
    )
    ensembles.add_arguments(parser, "several caption together, as an ensemble")
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="the model's folder, such as serving/models/NAME",
    )
    for field in dataclasses.fields(Batching):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(
            flag,
            type=int,
            default=field.default,
            metavar="N",
            help="of requests (default: %(default)s)",
        )
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help="larger pictures are refused (default: %(default)s)",
    )
    args = parser.parse_args(arguments)
    batching = Batching(
        **{field.name: getattr(args, field.name) for field in dataclasses.fields(Batching)}
    )
    run = ensembles.with_arguments(ensembles.open_runs(args.run), args)
    print(export(run, args.output, batching, args.max_pixels))


if __name__ == "__main__":
    main()
