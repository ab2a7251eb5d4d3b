"""A served captioner under requests that are damaged in every way.

The environment variable MUTATIONS says how many requests are sent:
`MUTATIONS=5000 python -m pytest`.
"""

import concurrent.futures
import os
import random

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from keras_sat.exporting.saved_model import export
from keras_sat.exporting.versions import Batching
from tests.support.mutation import mutated
from tests.support.odd_pictures import TAKEN, huge_png, many_frames, many_scans
from tests.support.requests import MISTAKES, PREDICT, Code, changed, code_of, request
from tests.support.server_process import running

REQUESTS = int(os.environ.get("MUTATIONS", 300))
SIGNATURES = ("serving_default", "caption_with_attention")
BOMBS = [
    huge_png(16_000, 16_000),
    huge_png(30_000, 30_000),
    huge_png(2_000, 2_000, texts=50),
    many_frames(2_000, 500),
    many_scans(2_000, 200),
]
FITTING = (
    Code.OK,
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.FAILED_PRECONDITION,
    Code.RESOURCE_EXHAUSTED,
)


@pytest.fixture(scope="module")
def captioner(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "captioner"
    export(run, folder, Batching(max_batch_size=8), 5_000_000)
    with running("--model-base-path", folder) as server:
        yield server


class Attack:
    """Sends damaged requests, and checks the answers.

    Args:
        channel: to the server.
        sound: a picture that can be read.
        formats: pictures in different formats.
    """

    def __init__(self, channel, sound, formats):
        self._channel = channel
        self._stub = PredictionServiceStub(channel)
        self._sound = sound
        self._formats = formats
        self._message = request([sound, formats[1]]).SerializeToString()
        self._expected = self.caption()

    def caption(self):
        """Returns the sound picture's caption."""
        return self._stub.Predict(request([self._sound])).outputs["caption"].string_val[0]

    def send(self, number):
        """Sends one request; its number is the seed of what is damaged."""
        rng = random.Random(number)
        kinds = [self._pictures, self._damaged_message, self._mistake, self._long_message]
        [send] = rng.choices(kinds, [50, 30, 19.6, 0.4])
        send(rng)

    def _pictures(self, rng):
        """A sound picture beside damaged ones."""
        damaged = []
        for _ in range(rng.randrange(1, 5)):
            damaged.append(mutated(rng.choice(self._formats), rng))
        if rng.random() < 0.05:
            damaged.append(rng.choice(BOMBS))
        asked = request([*damaged, self._sound], signature=rng.choice(SIGNATURES))
        outputs = self._stub.Predict(asked, timeout=120).outputs
        status = tf.make_ndarray(outputs["status"])
        captions = tf.make_ndarray(outputs["caption" if "caption" in outputs else "captions"])
        captions = captions.reshape([len(status), -1])[:, 0]
        assert status[-1] == b"OK"
        assert captions[-1] == self._expected
        for each, caption in zip(status, captions):
            assert (each == b"OK") == bool(caption)

    def _damaged_message(self, rng):
        predict = self._channel.unary_unary(PREDICT)
        assert code_of(predict, mutated(self._message, rng)) in FITTING

    def _mistake(self, rng):
        change, code = rng.choice(list(MISTAKES.values()))
        assert code_of(self._stub.Predict, changed(change)) == code

    def _long_message(self, rng):
        code = code_of(self._stub.Predict, request([bytes(100 << 20)]))
        assert code == Code.RESOURCE_EXHAUSTED


def test_every_answer_fits(captioner):
    """The server keeps running in bounded memory, and a sound picture gets its own caption."""

    def megabytes():
        return captioner.metric("process_resident_memory_bytes") / 2**20

    with grpc.insecure_channel(captioner.address) as channel:
        attack = Attack(channel, TAKEN["colour.jpg"], list(TAKEN.values()))
        expected = attack.caption()
        memory = [megabytes()]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for first in range(0, REQUESTS, 100):
                list(pool.map(attack.send, range(first, first + 100)))
                memory.append(megabytes())
        print("resident memory, MB:", *map(round, memory))
        assert captioner.process.poll() is None
        assert max(memory) < memory[0] + 1000
        assert attack.caption() == expected
