"""Requests to the captioner of `saved_model`, right and wrong ones."""

import grpc
import numpy as np
import tensorflow as tf

from serving.client.messages import model_spec, predict_request

Code = grpc.StatusCode
PREDICT = "/tensorflow.serving.PredictionService/Predict"


def request(images=(b"",), model="captioner", signature="serving_default", **inputs):
    return predict_request(model_spec(model), signature, {"image_bytes": list(images), **inputs})


def changed(change, **kwargs):
    """A request after `change(request)`; other arguments as for `request`."""
    asked = request(**kwargs)
    change(asked)
    return asked


def code_of(call, *arguments):
    """Calls a method, and returns the status."""
    try:
        call(*arguments, timeout=30)
    except grpc.RpcError as error:
        return error.code()
    return Code.OK


def _strings(values=(b"",), shape=None):
    return tf.make_tensor_proto(np.array(values, object), shape=shape)


def _set_images(tensor):
    return lambda asked: asked.inputs["image_bytes"].CopyFrom(tensor)


def _set_size(size):
    """Changes how many images the shape promises."""
    return lambda asked: setattr(asked.inputs["image_bytes"].tensor_shape.dim[0], "size", size)


def _set_spec(name, value):
    return lambda asked: setattr(asked.model_spec, name, value)


def _set_version(number):
    return lambda asked: setattr(asked.model_spec.version, "value", number)


# {what is wrong: (change of a request, the status it should get)}
MISTAKES = {
    "no model": (lambda asked: asked.model_spec.ClearField("name"), Code.INVALID_ARGUMENT),
    "unknown model": (_set_spec("name", "nobody"), Code.NOT_FOUND),
    "unknown version": (_set_version(77), Code.NOT_FOUND),
    "negative version": (_set_version(-1), Code.NOT_FOUND),
    "unknown label": (_set_spec("version_label", "best"), Code.INVALID_ARGUMENT),
    "unknown signature": (_set_spec("signature_name", "translate"), Code.FAILED_PRECONDITION),
    "unknown output": (lambda asked: asked.output_filter.append("poem"), Code.INVALID_ARGUMENT),
    "output twice": (
        lambda asked: asked.output_filter.extend(["score", "score"]),
        Code.INVALID_ARGUMENT,
    ),
    "no input": (lambda asked: asked.inputs.clear(), Code.INVALID_ARGUMENT),
    "extra input": (lambda asked: asked.inputs["more"].CopyFrom(_strings()), Code.INVALID_ARGUMENT),
    "wrong type": (_set_images(tf.make_tensor_proto([1.0])), Code.INVALID_ARGUMENT),
    "no such type": (
        lambda asked: setattr(asked.inputs["image_bytes"], "dtype", 1234),
        Code.INVALID_ARGUMENT,
    ),
    "scalar": (_set_images(tf.make_tensor_proto(b"")), Code.INVALID_ARGUMENT),
    "matrix": (_set_images(_strings([[b"", b""]])), Code.INVALID_ARGUMENT),
    "empty batch": (_set_images(_strings([], [0])), Code.INVALID_ARGUMENT),
    "65 images": (_set_images(_strings([b""] * 65)), Code.INVALID_ARGUMENT),
    "unknown rank": (
        lambda asked: setattr(asked.inputs["image_bytes"].tensor_shape, "unknown_rank", True),
        Code.INVALID_ARGUMENT,
    ),
    "negative size": (_set_size(-3), Code.INVALID_ARGUMENT),
    "more promised than sent": (_set_size(3), Code.INVALID_ARGUMENT),
    "2**60 promised": (_set_size(2**60), Code.INVALID_ARGUMENT),
}
