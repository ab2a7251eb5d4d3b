"""A running server of small models, and what it should answer."""

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.support import saved_model
from tests.support.server_process import running

SMALL_QUEUE = """max_batch_size { value: 2 } max_enqueued_batches { value: 2 }
num_batch_threads { value: 1 }"""


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """One folder per model, named by models.config beside them.

    The queue of `slow` holds four images.
    """
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
    """Calls a signature of the captioner's SavedModel without a server.

    direct(signature, image_bytes=images, …) returns {output: array}.
    """
    loaded = tf.saved_model.load(str(models / "captioner" / "1"))

    def call(signature, **inputs):
        tensors = {name: tf.constant(values) for name, values in inputs.items()}
        outputs = loaded.signatures[signature](**tensors)
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return call
