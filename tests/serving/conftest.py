"""A server as a process of its own, as users have it, and what it should answer."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.serving import saved_model

SMALL_QUEUE = "max_batch_size { value: 2 } max_enqueued_batches { value: 2 } num_batch_threads { value: 1 }"


class Server:
    """`python -m serving.server` on free ports, once it serves."""

    def __init__(self, *arguments, port=0):
        command = [sys.executable, "-W", "ignore", "-m", "serving.server", "--port", str(port), "--metrics-port", "0"]
        self.process = subprocess.Popen(
            [*command, "--poll-seconds", "0.1", *map(str, arguments)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"serving on (\S+), metrics on (\S+)", line):
                self.address, self.metrics_url = found.groups()
                break
        else:
            raise AssertionError("".join(self.log))
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()

    def metric(self, name):
        """The sum of a metric over its labels."""
        with urllib.request.urlopen(self.metrics_url + "/metrics") as page:
            lines = page.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}[{{ ]", line))

    def wait_for(self, name, value):
        while self.metric(name) != value:
            assert self.process.poll() is None

    def stop(self, number=signal.SIGTERM):
        """The process's exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextlib.contextmanager
def running(*arguments, **kwargs):
    server = Server(*arguments, **kwargs)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder a model, named by models.config beside them; the queue of `slow` holds four images."""
    folder = tmp_path_factory.mktemp("serving") / "models"
    pictures = [saved_model.picture(seed) for seed in range(8)]
    saved_model.save(folder / "captioner", 1, warm_up=[pictures[:1], pictures])
    saved_model.save(folder / "rolling", 1)
    saved_model.save(folder / "proposals", 1, captioner=saved_model.ProposalCaptioner)
    saved_model.save(folder / "slow", 1, work=300_000, batching=SMALL_QUEUE)
    parts = [f'config {{ name: "{each.name}" base_path: "{each}" }}' for each in folder.iterdir()]
    folder.with_suffix(".config").write_text(f"model_config_list {{ {' '.join(parts)} }}")
    return folder


@pytest.fixture(scope="session")
def server(models):
    with running("--model-config-file", models.with_suffix(".config")) as server:
        yield server


@pytest.fixture(scope="session")
def channel(server):
    with grpc.insecure_channel(server.address, [("grpc.max_send_message_length", -1)]) as channel:
        yield channel


@pytest.fixture(scope="session")
def stub(channel):
    return PredictionServiceStub(channel)


@pytest.fixture(scope="session")
def direct(models):
    """Calls a signature of the captioner's SavedModel without any server: direct(signature, images, …) → {output: array}."""
    loaded = tf.saved_model.load(str(models / "captioner" / "1"))

    def call(signature, **inputs):
        outputs = loaded.signatures[signature](**{name: tf.constant(values) for name, values in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return call
