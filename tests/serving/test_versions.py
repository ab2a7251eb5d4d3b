"""New versions are loaded and old ones dropped while the server answers requests."""

import concurrent.futures
import threading

import grpc
import pytest
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub

from serving.client.messages import model_spec, predict_request, rows
from tests.support import saved_model


def states(channel):
    spec = model_spec("rolling")
    answer = ModelServiceStub(channel).GetModelStatus(GetModelStatusRequest(model_spec=spec))
    return {
        each.version: (each.state, each.status.error_message)
        for each in answer.model_version_status
    }


def test_versions_change_under_load_without_a_failed_request(channel, stub, models, direct):
    """No client here retries. A version that does not load changes nothing."""
    images = [saved_model.picture(seed) for seed in range(3)]
    captions = direct("serving_default", image_bytes=images)["caption"]
    expected = [caption.decode().removesuffix(" (1)") for caption in captions]
    request = predict_request(model_spec("rolling"), "serving_default", {"image_bytes": images})
    stopped = threading.Event()
    seen = {}  # {version: number of answers}

    def ask():
        while not stopped.is_set():
            captions = [row["caption"].decode() for row in rows(stub.Predict(request, timeout=60))]
            [version] = {caption[-2:-1] for caption in captions}
            assert [caption[:-4] for caption in captions] == expected
            seen[version] = seen.get(version, 0) + 1

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask) for _ in range(4)]
        try:
            while not seen.get("1"):
                assert not asking[0].done()
            broken = models / "rolling" / "2"
            broken.mkdir()
            (broken / "saved_model.pb").write_bytes(b"not a graph")
            while states(channel).get(2, (None,))[0] != ModelVersionStatus.END:
                assert not asking[0].done()
            assert states(channel)[1][0] == ModelVersionStatus.AVAILABLE
            assert states(channel)[2][1]
            broken.rename(models / "broken")
            saved_model.save(models / "rolling", 2)
            saved_model.save(models / "rolling", 3)
            while not seen.get("3") or states(channel)[1][0] != ModelVersionStatus.END:
                assert not asking[0].done()
        finally:
            stopped.set()
        for each in asking:
            each.result()
    assert states(channel)[3][0] == ModelVersionStatus.AVAILABLE
    request.model_spec.version.value = 1
    with pytest.raises(grpc.RpcError) as error:
        stub.Predict(request)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
