"""More requests than the server can answer: which are refused, and which are not computed.

The slow model's queue holds four images beside the two that are computed.
"""

import collections
import threading
import time

import grpc
import pytest

from serving.client.messages import model_spec, predict_request
from tests.support.saved_model import picture

REQUEST = predict_request(model_spec("slow"), "serving_default", {"image_bytes": [picture(1)]})


def start(stub, **kwargs):
    return stub.Predict.future(REQUEST, **kwargs)


def busy(server, stub):
    """A request that is being computed."""
    running = start(stub)
    server.wait_for("serving_requests_in_flight", 1)
    server.wait_for("serving_queue_images", 0)
    assert not running.done()
    return running


def test_a_full_queue_refuses_at_once(server, stub):
    ended = []
    lock = threading.Lock()

    def note(call):
        with lock:
            ended.append(call.code())

    running = busy(server, stub)
    running.add_done_callback(note)
    calls = [start(stub) for _ in range(40)]
    for call in calls:
        call.add_done_callback(note)
    for call in [running, *calls]:
        call.exception()
    while len(ended) < 41:
        assert server.process.poll() is None
    codes = collections.Counter(ended)
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert 4 <= codes[grpc.StatusCode.OK] <= 7
    number = codes[grpc.StatusCode.UNAVAILABLE]
    assert set(ended[:number]) == {grpc.StatusCode.UNAVAILABLE}, "no refusal waits for an answer"
    refused = [call for call in calls if call.code() == grpc.StatusCode.UNAVAILABLE]
    assert "full" in refused[0].details()
    assert start(stub).result()


@pytest.mark.parametrize("give_up", ["cancel", "deadline"])
def test_a_request_that_no_one_waits_for_is_not_computed(give_up, server, stub):
    """A busy machine may notice too late. That tells nothing, so it is tried up to five times."""
    for _ in range(5):
        before = server.metric("serving_batch_images_sum")
        running = busy(server, stub)
        waiting = start(stub, timeout=0.3 if give_up == "deadline" else None)
        if give_up == "cancel":
            server.wait_for("serving_queue_images", 1)
            waiting.cancel()
            assert waiting.code() == grpc.StatusCode.CANCELLED
        else:
            assert waiting.exception().code() == grpc.StatusCode.DEADLINE_EXCEEDED
        while server.metric("serving_requests_in_flight") > 1:
            assert server.process.poll() is None
        assert running.result() and start(stub).result()
        computed = server.metric("serving_batch_images_sum") - before
        if computed == 2:
            break
    assert computed == 2, "all three were computed, time after time"


def test_a_deadline_that_passed(stub):
    assert start(stub, timeout=-1).exception().code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_deadline_does_not_end_the_batch_for_others(server, stub):
    """Two batches, each of a call that waits and one that gives up while it is computed."""
    began = time.monotonic()
    start(stub).result()
    batch = time.monotonic() - began
    running = busy(server, stub)
    patient = []
    hasty = []
    for number in (0, 1):
        patient.append(start(stub))
        server.wait_for("serving_queue_images", 2 * number + 1)
        hasty.append(start(stub, timeout=(number + 1.5) * batch))
        server.wait_for("serving_queue_images", 2 * number + 2)
    assert running.result()
    assert all(call.result() for call in patient)
    for call in hasty:
        assert call.exception() is None or call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
