"""A served captioner under requests that are damaged in every way. `MUTATIONS=5000 python -m pytest` sends so many."""

import concurrent.futures
import os
import random

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from keras_sat.export import Batching, export
from tests.odd_pictures import TAKEN, huge_png, many_frames, many_scans
from tests.serving.conftest import running
from tests.serving.test_services import MISTAKES, PREDICT, Code, changed, code_of, request

REQUESTS = int(os.environ.get("MUTATIONS", 300))
SIGNATURES = ("serving_default", "caption_with_attention")
BOMBS = [
    huge_png(16_000, 16_000),
    huge_png(30_000, 30_000),
    huge_png(2_000, 2_000, texts=50),
    many_frames(2_000, 500),
    many_scans(2_000, 200),
]
FITTING = (Code.OK, Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.FAILED_PRECONDITION, Code.RESOURCE_EXHAUSTED)


@pytest.fixture(scope="module")
def captioner(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "captioner"
    export(run, folder, Batching(max_batch_size=8), 5_000_000)
    with running("--model-base-path", folder) as server:
        yield server


def mutated(encoded, rng):
    """Bytes that are flipped, cut off, cut out, doubled or put in."""
    encoded, place = bytearray(encoded), rng.randrange(len(encoded))
    change = rng.choice(["flip", "end", "out", "twice", "in"])
    if change == "flip":
        for _ in range(rng.choice([1, 10, 100])):
            encoded[rng.randrange(len(encoded))] ^= 1 << rng.randrange(8)
    elif change == "end":
        del encoded[place:]
    elif change == "out":
        del encoded[place : place + rng.choice([1, 30, 1000])]
    else:
        encoded[place:place] = encoded[: rng.randrange(1000)] if change == "twice" else rng.randbytes(rng.choice([1, 40]))
    return bytes(encoded)


def test_every_answer_fits(captioner):
    """The server stays up, its memory bounded, and a sound picture beside damaged ones gets its own caption."""
    sound, formats = TAKEN["colour.jpg"], list(TAKEN.values())
    with grpc.insecure_channel(captioner.address) as channel:
        stub = PredictionServiceStub(channel)
        expected = stub.Predict(request([sound])).outputs["caption"].string_val[0]
        whole = request([sound, formats[1]]).SerializeToString()

        def damaged_pictures(rng):
            damaged = [mutated(rng.choice(formats), rng) for _ in range(rng.randrange(1, 5))]
            if rng.random() < 0.05:
                damaged.append(rng.choice(BOMBS))
            response = stub.Predict(request([*damaged, sound], signature=rng.choice(SIGNATURES)), timeout=120)
            status = tf.make_ndarray(response.outputs["status"])
            captions = tf.make_ndarray(response.outputs.get("caption") or response.outputs["captions"]).reshape(
                [len(status), -1]
            )
            assert status[-1] == b"OK" and captions[-1, 0] == expected
            assert all((each == b"OK") == bool(caption) for each, caption in zip(status, captions[:, 0]))

        def damaged_message(rng):
            assert code_of(channel.unary_unary(PREDICT), mutated(whole, rng)) in FITTING

        def mistake(rng):
            change, code = rng.choice(list(MISTAKES.values()))
            assert code_of(stub.Predict, changed(change)) == code

        def long_message(rng):
            assert code_of(stub.Predict, request([bytes(100 << 20)])) == Code.RESOURCE_EXHAUSTED

        def send(number):
            rng = random.Random(number)
            rng.choices([damaged_pictures, damaged_message, mistake, long_message], [50, 30, 19.6, 0.4])[0](rng)

        megabytes = [captioner.metric("process_resident_memory_bytes") / 2**20]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for first in range(0, REQUESTS, 100):
                list(pool.map(send, range(first, first + 100)))
                megabytes.append(captioner.metric("process_resident_memory_bytes") / 2**20)
        print("resident memory, MB:", *map(round, megabytes))
        assert captioner.process.poll() is None and max(megabytes) < megabytes[0] + 1000
        assert stub.Predict(request([sound])).outputs["caption"].string_val[0] == expected
