"""TensorFlow Serving's messages from and to NumPy, for its clients."""

# The generated modules of protobuf have no stubs.
# pyright: reportAttributeAccessIssue=false

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceStub as PredictionServiceStub,
)


def model_spec(model, version=None, label=None):
    """A ModelSpec: a model's newest version, or the one with a given number or label."""
    spec = ModelSpec(name=model, version_label=label)
    if version is not None:
        spec.version.value = version
    return spec


def predict_request(spec, signature, inputs):
    """Makes a PredictRequest.

    Args:
        spec: a ModelSpec.
        signature: the signature's name.
        inputs: {name: one value per row of the batch}, either bytes or an array of float32.
    """
    request = PredictRequest(model_spec=spec)
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        # NumPy's own type for bytes cuts off zeros at the end.
        dtype = object if isinstance(values[0], bytes) else np.float32
        request.inputs[name].CopyFrom(tf.make_tensor_proto(np.array(values, dtype)))
    return request


def rows(response):
    """Splits a PredictResponse into {output: array}, one per row of the batch."""
    outputs = {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}
    size = len(next(iter(outputs.values())))
    return [{name: array[row] for name, array in outputs.items()} for row in range(size)]


def metadata_request(spec):
    """A request for the signatures of a model's version."""
    return GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])


def signatures(response):
    """{signature: SignatureDef} of a GetModelMetadataResponse."""
    found = SignatureDefMap()
    response.metadata["signature_def"].Unpack(found)
    return dict(found.signature_def)
