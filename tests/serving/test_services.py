"""TensorFlow Serving's protocol: third-party clients, answers equal to the SavedModel's, a status for every mistake."""

import concurrent.futures
import random

import grpc
import numpy as np
import ovmsclient
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from serving.client.messages import model_spec, predict_request
from tests.serving.saved_model import picture

Code = grpc.StatusCode
PREDICT = "/tensorflow.serving.PredictionService/Predict"


def request(images=(b"",), model="captioner", signature="serving_default", **inputs):
    return predict_request(model_spec(model), signature, {"image_bytes": list(images), **inputs})


def code_of(call, *arguments):
    try:
        call(*arguments, timeout=30)
    except grpc.RpcError as error:
        return error.code()
    return Code.OK


def assert_same(response, expected):
    assert set(response.outputs) == set(expected)
    for name, array in expected.items():
        given = tf.make_ndarray(response.outputs[name])
        if array.dtype == object:
            assert given.tolist() == array.tolist(), name
        else:
            np.testing.assert_allclose(given, array, rtol=1e-5, err_msg=name)


def test_a_third_party_client(server, direct):
    client = ovmsclient.make_grpc_client(server.address)
    assert client.get_model_status("captioner")[1]["state"] == "AVAILABLE"
    metadata = client.get_model_metadata("captioner")
    assert metadata["inputs"] == {"image_bytes": {"shape": [-1], "dtype": "DT_STRING"}}
    assert set(metadata["outputs"]) == {"caption", "score", "status"}
    images = [picture(1), b"broken", picture(2)]
    answer, expected = client.predict({"image_bytes": images}, "captioner"), direct("serving_default", image_bytes=images)
    assert {name: values.tolist() for name, values in answer.items()} == {name: v.tolist() for name, v in expected.items()}


def test_reflection_and_health(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    services = {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService", "grpc.health.v1.Health"}
    assert services <= set(database.get_services())
    file = database.FindFileContainingSymbol("tensorflow.serving.PredictionService")
    assert {method.name for method in file.service[0].method} >= {"Predict", "GetModelMetadata"}
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == health_pb2.HealthCheckResponse.SERVING
    assert code_of(health.Check, health_pb2.HealthCheckRequest(service="nothing")) == Code.NOT_FOUND


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("broken", [0, 3])
def test_answers_are_the_saved_models(stub, direct, size, broken):
    images = [picture(seed) for seed in range(size)]
    for place in random.Random(size).sample(range(size), min(broken, size)):
        images[place] = random.Random(place).choice([b"", b"not a picture", images[place][:40]])
    assert_same(stub.Predict(request(images)), direct("serving_default", image_bytes=images))


def test_every_signature(stub, direct):
    images = [picture(1), b"broken", picture(3)]
    captions = [b"red red red red", b"red", b"blue blue green"]
    expected = direct("caption_with_attention", image_bytes=images)
    assert_same(stub.Predict(request(images, signature="caption_with_attention")), expected)
    expected = direct("score_caption", image_bytes=images, caption=captions)
    assert_same(stub.Predict(request(images, signature="score_caption", caption=captions)), expected)


def test_requests_that_share_batches_get_their_own_answers(server, stub, direct):
    before = server.metric("serving_batch_images_count")
    groups = [[picture(10 * n + i) for i in range(1 + n % 3)] + [b"broken"] * (n % 2) for n in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        responses = list(threads.map(lambda images: stub.Predict(request(images)), groups))
    for images, response in zip(groups, responses):
        assert_same(response, direct("serving_default", image_bytes=images))
    assert server.metric("serving_batch_images_count") - before < len(groups)


def test_output_filter(stub):
    asked = request([picture(1)])
    asked.output_filter.append("status")
    assert list(stub.Predict(asked).outputs) == ["status"]


def changed(change, **kwargs):
    asked = request(**kwargs)
    change(asked)
    return asked


def string(values=(b"",), shape=None):
    return tf.make_tensor_proto(np.array(values, object), shape=shape)


MISTAKES = {
    "no model": (lambda r: r.model_spec.ClearField("name"), Code.INVALID_ARGUMENT),
    "unknown model": (lambda r: setattr(r.model_spec, "name", "nobody"), Code.NOT_FOUND),
    "unknown version": (lambda r: setattr(r.model_spec.version, "value", 77), Code.NOT_FOUND),
    "negative version": (lambda r: setattr(r.model_spec.version, "value", -1), Code.NOT_FOUND),
    "unknown label": (lambda r: setattr(r.model_spec, "version_label", "best"), Code.INVALID_ARGUMENT),
    "unknown signature": (lambda r: setattr(r.model_spec, "signature_name", "translate"), Code.FAILED_PRECONDITION),
    "unknown output": (lambda r: r.output_filter.append("poem"), Code.INVALID_ARGUMENT),
    "output twice": (lambda r: r.output_filter.extend(["score", "score"]), Code.INVALID_ARGUMENT),
    "no input": (lambda r: r.inputs.clear(), Code.INVALID_ARGUMENT),
    "extra input": (lambda r: r.inputs["more"].CopyFrom(string()), Code.INVALID_ARGUMENT),
    "wrong type": (lambda r: r.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([1.0])), Code.INVALID_ARGUMENT),
    "no such type": (lambda r: setattr(r.inputs["image_bytes"], "dtype", 1234), Code.INVALID_ARGUMENT),
    "scalar": (lambda r: r.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(b"")), Code.INVALID_ARGUMENT),
    "matrix": (lambda r: r.inputs["image_bytes"].CopyFrom(string([[b"", b""]])), Code.INVALID_ARGUMENT),
    "empty batch": (lambda r: r.inputs["image_bytes"].CopyFrom(string([], [0])), Code.INVALID_ARGUMENT),
    "65 images": (lambda r: r.inputs["image_bytes"].CopyFrom(string([b""] * 65)), Code.INVALID_ARGUMENT),
    "unknown rank": (
        lambda r: setattr(r.inputs["image_bytes"].tensor_shape, "unknown_rank", True),
        Code.INVALID_ARGUMENT,
    ),
    "negative size": (lambda r: setattr(r.inputs["image_bytes"].tensor_shape.dim[0], "size", -3), Code.INVALID_ARGUMENT),
    "more promised than sent": (
        lambda r: setattr(r.inputs["image_bytes"].tensor_shape.dim[0], "size", 3),
        Code.INVALID_ARGUMENT,
    ),
    "2**60 promised": (
        lambda r: setattr(r.inputs["image_bytes"].tensor_shape.dim[0], "size", 2**60),
        Code.INVALID_ARGUMENT,
    ),
}


@pytest.mark.parametrize("change, code", MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_get_a_fitting_status(stub, change, code):
    assert code_of(stub.Predict, changed(change)) == code
    assert code_of(stub.Predict, request()) == Code.OK


def test_unequal_batches(stub):
    asked = request([b"", b""], signature="score_caption", caption=[b"red"])
    assert code_of(stub.Predict, asked) == Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "boxes, code",
    [
        (tf.make_tensor_proto(np.zeros([2, 4, 4], np.float32)), Code.OK),
        (tf.make_tensor_proto(0.5, shape=[2, 4, 4]), Code.OK),  # one value for all
        (tf.make_tensor_proto(np.zeros([2, 4, 4])), Code.INVALID_ARGUMENT),
        (tf.make_tensor_proto(np.zeros([2, 5, 4], np.float32)), Code.INVALID_ARGUMENT),
        (tf.make_tensor_proto(np.zeros([1, 4, 4], np.float32)), Code.INVALID_ARGUMENT),
        (tf.make_tensor_proto(np.zeros([32], np.float32)), Code.INVALID_ARGUMENT),
    ],
)
def test_boxes(stub, boxes, code):
    asked = request([picture(1)] * 2, model="proposals", signature="caption_with_attention")
    assert code_of(stub.Predict, asked) == Code.INVALID_ARGUMENT
    asked.inputs["boxes"].CopyFrom(boxes)
    assert code_of(stub.Predict, asked) == code
    asked.inputs["boxes"].tensor_content = b"too few"
    assert code_of(stub.Predict, asked) == Code.INVALID_ARGUMENT


def test_methods_for_other_models(stub, channel):
    assert code_of(stub.Classify, ClassificationRequest()) == Code.UNIMPLEMENTED
    assert code_of(channel.unary_unary("/tensorflow.serving.PredictionService/Paint"), b"") == Code.UNIMPLEMENTED


VALID = request([picture(1), picture(2)]).SerializeToString()


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(st.integers(0, len(VALID) - 1), st.binary(max_size=6)).map(
            lambda cut: VALID[: cut[0]] + cut[1] + VALID[cut[0] + len(cut[1]) :]
        ),
        st.integers(0, len(VALID)).map(lambda end: VALID[:end]),
    )
)
def test_mutated_bytes_are_always_answered(channel, encoded):
    code = code_of(channel.unary_unary(PREDICT), encoded)
    assert code in (Code.OK, Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.FAILED_PRECONDITION)


def test_a_message_of_100_megabytes(stub):
    assert code_of(stub.Predict, request([bytes(100 << 20)])) == Code.RESOURCE_EXHAUSTED
    assert code_of(stub.Predict, request()) == Code.OK


def test_labels_and_reload(server, channel, models):
    service, labelled = ModelServiceStub(channel), changed(lambda r: setattr(r.model_spec, "version_label", "stable"))
    stub = channel.unary_unary(PREDICT, PredictRequest.SerializeToString)

    def reload(label, version, base_path=models / "captioner"):
        asked = ReloadConfigRequest()
        for name in ("rolling", "slow", "proposals", "captioner"):
            config = asked.config.model_config_list.config.add(name=name, base_path=str(models / name))
        config.base_path, config.version_labels[label] = str(base_path), version
        return code_of(service.HandleReloadConfigRequest, asked)

    assert code_of(stub, labelled) == Code.INVALID_ARGUMENT
    assert reload("stable", 9) == Code.FAILED_PRECONDITION
    assert reload("stable", 1, base_path="/") == Code.PERMISSION_DENIED
    assert code_of(stub, labelled) == Code.INVALID_ARGUMENT
    assert reload("stable", 1) == Code.OK
    assert code_of(stub, labelled) == Code.OK
    status = service.GetModelStatus(GetModelStatusRequest(model_spec=labelled.model_spec)).model_version_status
    assert [(each.version, each.state) for each in status] == [(1, ModelVersionStatus.AVAILABLE)]


def test_metrics_and_log(server, stub):
    before = server.metric("serving_requests_total")
    assert code_of(stub.Predict, request([picture(1)] * 3)) == Code.OK
    assert code_of(stub.Predict, request(model="nobody\nfaked line" + 100_000 * "x")) == Code.NOT_FOUND
    assert server.metric("serving_requests_total") == before + 2
    for name in ("serving_request_seconds_count", "serving_batch_images_count", "serving_queue_seconds_count"):
        assert server.metric(name) > 0
    assert server.metric("serving_version_available") == 4 and server.metric("serving_requests_in_flight") == 0
    assert server.metric("serving_queue_images") == 0 and server.metric("process_resident_memory_bytes") > 0
    while not any("nobody" in line for line in server.log):
        assert server.process.poll() is None
    [ok] = [line for line in server.log if "3 images" in line and " OK " in line][-1:]
    assert "Predict 'captioner'" in ok and not any(line.startswith("faked line") for line in server.log)
