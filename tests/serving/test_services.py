"""TensorFlow Serving's protocol.

Third-party clients work, answers are the SavedModel's, and every mistake gets a status.
"""

import concurrent.futures
import random

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

from tests.support.requests import MISTAKES, PREDICT, Code, changed, code_of, request
from tests.support.rounding import assert_close
from tests.support.saved_model import picture


def assert_same(response, expected):
    assert set(response.outputs) == set(expected)
    for name, array in expected.items():
        given = tf.make_ndarray(response.outputs[name])
        if array.dtype == object:
            assert given.tolist() == array.tolist(), name
        else:
            # Roundings: means over pixels, and means over those.
            assert_close(given, array, roundings=12 * 12 + 12, what=name)


def _as_lists(arrays):
    return {name: array.tolist() for name, array in arrays.items()}


def test_a_third_party_client(server, direct):
    client = ovmsclient.make_grpc_client(server.address)
    assert client.get_model_status("captioner")[1]["state"] == "AVAILABLE"
    metadata = client.get_model_metadata("captioner")
    assert metadata["inputs"] == {"image_bytes": {"shape": [-1], "dtype": "DT_STRING"}}
    assert set(metadata["outputs"]) == {"caption", "score", "status"}
    images = [picture(1), b"broken", picture(2)]
    answer = client.predict({"image_bytes": images}, "captioner")
    expected = direct("serving_default", image_bytes=images)
    assert _as_lists(answer) == _as_lists(expected)


def test_reflection_and_health(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) >= {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "grpc.health.v1.Health",
    }
    file = database.FindFileContainingSymbol("tensorflow.serving.PredictionService")
    assert {method.name for method in file.service[0].method} >= {"Predict", "GetModelMetadata"}
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        response = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert response.status == health_pb2.HealthCheckResponse.SERVING
    unknown = health_pb2.HealthCheckRequest(service="nothing")
    assert code_of(health.Check, unknown) == Code.NOT_FOUND


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
    response = stub.Predict(request(images, signature="score_caption", caption=captions))
    assert_same(response, expected)


def test_requests_that_share_batches_get_their_own_answers(server, stub, direct):
    before = server.metric("serving_batch_images_count")
    groups = []
    for number in range(40):
        images = [picture(10 * number + i) for i in range(1 + number % 3)]
        if number % 2:
            images.append(b"broken")
        groups.append(images)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        responses = list(threads.map(lambda images: stub.Predict(request(images)), groups))
    for images, response in zip(groups, responses):
        assert_same(response, direct("serving_default", image_bytes=images))
    assert server.metric("serving_batch_images_count") - before < len(groups)


def test_output_filter(stub):
    asked = request([picture(1)])
    asked.output_filter.append("status")
    assert list(stub.Predict(asked).outputs) == ["status"]


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
    unknown = channel.unary_unary("/tensorflow.serving.PredictionService/Paint")
    assert code_of(unknown, b"") == Code.UNIMPLEMENTED


VALID = request([picture(1), picture(2)]).SerializeToString()


def _overwritten(place_and_bytes):
    place, inserted = place_and_bytes
    return VALID[:place] + inserted + VALID[place + len(inserted) :]


RANDOM_BYTES = st.binary(max_size=200)
OVERWRITTEN = st.tuples(st.integers(0, len(VALID) - 1), st.binary(max_size=6)).map(_overwritten)
CUT_OFF = st.integers(0, len(VALID)).map(lambda end: VALID[:end])


@settings(max_examples=150, deadline=None)
@given(st.one_of(RANDOM_BYTES, OVERWRITTEN, CUT_OFF))
def test_mutated_bytes_are_always_answered(channel, encoded):
    code = code_of(channel.unary_unary(PREDICT), encoded)
    assert code in (Code.OK, Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.FAILED_PRECONDITION)


def test_a_message_of_100_megabytes(stub):
    assert code_of(stub.Predict, request([bytes(100 << 20)])) == Code.RESOURCE_EXHAUSTED
    assert code_of(stub.Predict, request()) == Code.OK


def test_labels_and_reload(server, channel, models):
    service = ModelServiceStub(channel)
    labelled = request()
    labelled.model_spec.version_label = "stable"
    stub = channel.unary_unary(PREDICT, PredictRequest.SerializeToString)

    def reload(label, version, base_path=models / "captioner"):
        asked = ReloadConfigRequest()
        for name in ("rolling", "slow", "proposals", "captioner"):
            config = asked.config.model_config_list.config.add()
            config.name = name
            config.base_path = str(models / name)
        config.base_path = str(base_path)  # the last one is the captioner
        config.version_labels[label] = version
        return code_of(service.HandleReloadConfigRequest, asked)

    assert code_of(stub, labelled) == Code.INVALID_ARGUMENT
    assert reload("stable", 9) == Code.FAILED_PRECONDITION
    assert reload("stable", 1, base_path="/") == Code.PERMISSION_DENIED
    assert code_of(stub, labelled) == Code.INVALID_ARGUMENT
    assert reload("stable", 1) == Code.OK
    assert code_of(stub, labelled) == Code.OK
    response = service.GetModelStatus(GetModelStatusRequest(model_spec=labelled.model_spec))
    states = [(each.version, each.state) for each in response.model_version_status]
    assert states == [(1, ModelVersionStatus.AVAILABLE)]


def test_metrics_and_log(server, stub):
    before = server.metric("serving_requests_total")
    assert code_of(stub.Predict, request([picture(1)] * 3)) == Code.OK
    long_name = "nobody\nfaked line" + 100_000 * "x"
    assert code_of(stub.Predict, request(model=long_name)) == Code.NOT_FOUND
    assert server.metric("serving_requests_total") == before + 2
    assert server.metric("serving_request_seconds_count") > 0
    assert server.metric("serving_batch_images_count") > 0
    assert server.metric("serving_queue_seconds_count") > 0
    assert server.metric("serving_version_available") == 4
    assert server.metric("serving_requests_in_flight") == 0
    assert server.metric("serving_queue_images") == 0
    assert server.metric("process_resident_memory_bytes") > 0
    while not any("nobody" in line for line in server.log):
        assert server.process.poll() is None
    answered = [line for line in server.log if "3 images" in line and " OK " in line]
    assert "Predict 'captioner'" in answered[-1]
    assert not any(line.startswith("faked line") for line in server.log)
