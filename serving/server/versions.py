"""Which versions of which models answer: what lies in the folders, what the configuration asks for, what is loaded.

The rules are TensorFlow Serving's: a version is a folder with a number for a name; by default the largest is wanted; a
version that is no longer wanted goes only when a wanted one answers, and only after its last request.
"""

import dataclasses
import logging
import threading
from pathlib import Path

import grpc
import tensorflow as tf
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

from serving.server.errors import Refused, invalid
from serving.server.servable import Servable

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Version:
    """A version's state, and the servable while it is AVAILABLE."""

    state: int = ModelVersionStatus.START
    servable: Servable | None = None
    error: str = ""
    files: tuple = ()  # of the folder, when it was last loaded


class ModelManager:
    """Loads, swaps and drops versions.

    Args:
        models: ModelConfig messages of TensorFlow Serving: name, base_path, model_version_policy, version_labels.
        load: makes a `Servable` of (name, version, folder). metrics: a `serving.server.metrics.Metrics`.
    """

    def __init__(self, models, load, metrics):
        self._load, self._metrics = load, metrics
        self._configs = {model.name: model for model in models}
        self._versions = {name: {} for name in self._configs}
        self._lock = (
            threading.Lock()
        )  # of the table; a servable is submitted to under it, and closed after it is out of it
        self._changing = threading.Lock()
        metrics.watch_queue(self._waiting)

    def predict(self, request, call):
        """Starts on a PredictRequest with the version that it asks for: a concurrent Future of the PredictResponse.

        Raises:
            Refused: NOT_FOUND, and what `Servable.submit` refuses.
        """
        with self._lock:
            return self._find(request.model_spec).submit(request, call)

    def servable(self, spec):
        """The `Servable` of a ModelSpec. Raises: Refused: NOT_FOUND, INVALID_ARGUMENT."""
        with self._lock:
            return self._find(spec)

    def statuses(self, spec):
        """[(version, `Version`)] of a ModelSpec, the newest first.

        Raises:
            Refused: NOT_FOUND, INVALID_ARGUMENT.
        """
        with self._lock:
            wanted = self._wanted_version(spec)
            versions = self._versions.get(spec.name, {})
            found = [
                (number, versions[number])
                for number in sorted(versions, reverse=True)
                if wanted in (None, number)
            ]
        if not found:
            what = "any versions" if wanted is None else f"version {wanted}"
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Could not find {what} of model {spec.name}")
        return found

    def ready(self):
        """Whether every model has a version that answers."""
        with self._lock:
            return all(
                any(version.servable for version in versions.values())
                for versions in self._versions.values()
            )

    def missing(self):
        """A line about every model without a version that answers."""
        lines = []
        for name, versions in self._versions.items():
            errors = [
                f"version {number}: {version.error}"
                for number, version in versions.items()
                if version.error
            ]
            why = (
                "; ".join(errors)
                or "holds no version: a folder named by a number, with saved_model.pb"
            )
            lines.append(f"{self._configs[name].base_path}: {why}")
        return "; ".join(lines)

    def reconfigure(self, models):
        """Takes new version policies and labels for the models that are served.

        Raises:
            Refused: PERMISSION_DENIED for other models or folders: what is loaded runs as code, so that is for whoever
            starts the server. FAILED_PRECONDITION for a label on a version that does not answer; labels stay as they were.
        """
        configs = {model.name: model for model in models}
        if _folders(configs) != _folders(self._configs):
            raise Refused(
                grpc.StatusCode.PERMISSION_DENIED,
                "models and their folders are set when the server is started",
            )
        with self._changing:
            self._follow(configs)
            for name, model in configs.items():
                for label, number in model.version_labels.items():
                    if not self._versions[name].get(number, Version()).servable:
                        said = f"label {label}: version {number} of model {name} is not available for inference"
                        raise Refused(grpc.StatusCode.FAILED_PRECONDITION, said)
            with self._lock:
                self._configs = configs

    def poll(self):
        """Looks at the folders once, and loads and drops what that asks for."""
        with self._changing:
            self._follow(self._configs)

    def close(self):
        """Closes every servable, after its last request."""
        with self._changing:
            for name, versions in self._versions.items():
                for number in versions:
                    self._drop(name, number)

    def _waiting(self):
        with self._lock:
            servables = [
                each.servable
                for versions in self._versions.values()
                for each in versions.values()
                if each.servable
            ]
        return sum(servable.waiting() for servable in servables)

    def _find(self, spec):
        wanted = self._wanted_version(spec)
        versions = self._versions.get(spec.name, {})
        available = [
            number
            for number, version in versions.items()
            if version.servable and wanted in (None, number)
        ]
        if not available:
            what = f"Latest({spec.name})" if wanted is None else f"Specific({spec.name}, {wanted})"
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {what}")
        return versions[max(available)].servable

    def _wanted_version(self, spec):
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        if spec.WhichOneof("version_choice") == "version":
            return spec.version.value or None  # OpenVINO's client says 0 for the newest
        if not spec.version_label or spec.name not in self._configs:
            return None
        if spec.version_label not in (labels := self._configs[spec.name].version_labels):
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        return labels[spec.version_label]

    def _follow(self, configs):
        for name, config in configs.items():
            try:
                folders = _version_folders(config.base_path)
            except OSError as error:  # what is loaded stays
                log.error("%s: %s", config.base_path, error)
                continue
            versions, wanted = (
                self._versions[name],
                _wanted(config.model_version_policy, sorted(folders)),
            )
            for number in wanted:
                self._bring(name, number, folders[number])
            if not wanted or any(
                number in versions and versions[number].servable for number in wanted
            ):
                for number in set(versions) - set(wanted):
                    self._drop(name, number)

    def _bring(self, name, number, folder):
        """Loads a version that is not loaded; one that failed is tried again when its files have changed."""
        version, files = self._versions[name].get(number, Version()), _files(folder)
        if version.servable or version.files == files:
            return
        version = Version(ModelVersionStatus.LOADING, files=files)
        with self._lock:
            self._versions[name][number] = version
        log.info("loading %s/%d from %s", name, number, folder)
        try:
            servable = self._load(name, number, folder)
        except (
            Exception
        ) as error:  # whatever is wrong with a folder, the versions that answer go on
            version.state, version.error = ModelVersionStatus.END, " ".join(str(error).split())
            log.error("%s/%d does not load: %s", name, number, version.error)
            return
        with self._lock:
            version.state, version.servable = ModelVersionStatus.AVAILABLE, servable
        self._metrics.version_changes(name, number, True)
        log.info("%s/%d is available", name, number)

    def _drop(self, name, number):
        version = self._versions[name][number]
        if not version.servable:
            return
        with self._lock:
            servable, version.servable, version.state = (
                version.servable,
                None,
                ModelVersionStatus.UNLOADING,
            )
        self._metrics.version_changes(name, number, False)
        servable.close()
        version.state, version.files = ModelVersionStatus.END, ()
        log.info("%s/%d is unloaded", name, number)


def _folders(configs):
    return {name: model.base_path for name, model in configs.items()}


def _version_folders(base_path):
    """{version: folder} of a model's folder; a folder without its graph is still being copied."""
    return {
        int(path.name): path
        for path in Path(base_path).iterdir()
        if path.name.isdecimal() and (path / tf.saved_model.SAVED_MODEL_FILENAME_PB).exists()
    }


def _wanted(policy, numbers):
    match policy.WhichOneof("policy_choice"):
        case "all":
            return numbers
        case "specific":
            return [number for number in numbers if number in policy.specific.versions]
    return numbers[-(policy.latest.num_versions or 1) :]


def _files(folder):
    """What tells whether a folder's content has changed."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
