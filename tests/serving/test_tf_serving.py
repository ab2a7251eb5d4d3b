"""The files for the real TensorFlow Serving: it can read them, and they agree with each other."""

from pathlib import Path

import yaml
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

import serving
from serving.server.batching import BatchingParameters

FOLDER = Path(serving.__file__).parent / "tf_serving"


def test_models():
    config = text_format.Parse((FOLDER / "models.config").read_text(), ModelServerConfig())
    [model] = config.model_config_list.config
    assert set(model.version_labels) == {"stable", "canary"}
    assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)


def test_batching_parameters_are_the_servers_defaults():
    batching = BatchingParameters((FOLDER / "batching.config").read_text())
    assert vars(batching) == vars(BatchingParameters())


def test_compose_and_kubernetes_start_the_same_server():
    compose = yaml.safe_load((FOLDER / "docker-compose.yaml").read_text())["services"]["captioner"]
    deployment, service = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == compose["image"]
    assert container["args"] == compose["command"]
    assert {each["name"]: each["value"] for each in container["env"]} == compose["environment"]
    [config] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["configMapGenerator"]
    named = {flag.rsplit("/", 1)[1] for flag in compose["command"] if "=/config/" in flag}
    assert named == set(config["files"])
    assert all((FOLDER / name).exists() for name in named)
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
