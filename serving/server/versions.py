"""Which versions of which models answer requests.

This depends on what is in the folders, on what the configuration asks for, and on what is loaded.
The rules are TensorFlow Serving's. A version is a folder with a number for a name. By default the
largest number is wanted. A version that is no longer wanted is dropped only when a wanted one
answers, and only after its last request.
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
    """The state of a version.

    Args:
        state: a ModelVersionStatus.State.
        servable: the loaded version while it is AVAILABLE, or None.
        error: why it could not be loaded, one line, or empty.
        files: what `_files` returned when it was last loaded.
    """

    state: int = ModelVersionStatus.START
    servable: Servable | None = None
    error: str = ""
    files: tuple = ()


class ModelManager:
    """Loads, swaps and drops versions.

    Args:
        models: ModelConfig messages of TensorFlow Serving, with name, base_path,
            model_version_policy and version_labels.
        load: makes a `Servable` of (name, version, folder).
        metrics: a `serving.server.metrics.Metrics`.
    """

    def __init__(self, models, load, metrics):
        self._load = load
        self._metrics = metrics
        self._configs = {model.name: model for model in models}
        self._versions = {name: {} for name in self._configs}
        # Guards the table of versions. Requests are submitted to a servable under this lock. A
        # servable is closed without it, once it is out of the table.
        self._lock = threading.Lock()
        self._changing = threading.Lock()  # held by who loads and drops versions
        metrics.watch_queue(self._waiting)

    def predict(self, request, call):
        """Starts to answer a PredictRequest with the version that it asks for.

        Args:
            request: the PredictRequest.
            call: its `Call`.

        Returns:
            A concurrent.futures.Future of the PredictResponse.

        Raises:
            Refused: NOT_FOUND, or what `Servable.submit` refuses.
        """
        with self._lock:
            return self._find(request.model_spec).submit(request, call)

    def servable(self, spec):
        """Returns the `Servable` of a ModelSpec.

        Raises:
            Refused: NOT_FOUND, INVALID_ARGUMENT.
        """
        with self._lock:
            return self._find(spec)

    def statuses(self, spec):
        """Returns [(number, `Version`)] of a ModelSpec, the newest first.

        Raises:
            Refused: NOT_FOUND, INVALID_ARGUMENT.
        """
        with self._lock:
            wanted = self._wanted_version(spec)
            versions = self._versions.get(spec.name, {})
            if wanted is None:
                found = sorted(versions.items(), reverse=True)
            else:
                found = [(wanted, versions[wanted])] if wanted in versions else []
        if not found:
            what = "any versions" if wanted is None else f"version {wanted}"
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Could not find {what} of model {spec.name}")
        return found

    def ready(self):
        """Whether every model has a version that answers."""
        with self._lock:
            return all(_available(versions) for versions in self._versions.values())

    def missing(self):
        """Returns one line that says why models have no version that answers."""
        lines = []
        for name, versions in self._versions.items():
            errors = [
                f"version {number}: {version.error}"
                for number, version in versions.items()
                if version.error
            ]
            why = "; ".join(errors)
            if not errors:
                why = "holds no version: a folder named by a number, with saved_model.pb"
            lines.append(f"{self._configs[name].base_path}: {why}")
        return "; ".join(lines)

    def reconfigure(self, models):
        """Takes new version policies and labels for the models that are served.

        Labels change only if all of them can be set.

        Args:
            models: ModelConfig messages of TensorFlow Serving.

        Raises:
            Refused: PERMISSION_DENIED for other models or folders. What is loaded runs as code,
                so only whoever starts the server may choose it. FAILED_PRECONDITION for a label on
                a version that does not answer.
        """
        configs = {model.name: model for model in models}
        if _folders(configs) != _folders(self._configs):
            raise Refused(
                grpc.StatusCode.PERMISSION_DENIED,
                "models and their folders are set when the server is started",
            )
        with self._changing:
            self._follow(configs)
            for model in configs.values():
                self._check_labels(model)
            with self._lock:
                self._configs = configs

    def poll(self):
        """Checks the folders once, and loads and drops versions accordingly."""
        with self._changing:
            self._follow(self._configs)

    def close(self):
        """Closes every servable, each after its last request."""
        with self._changing:
            for name, versions in self._versions.items():
                for number in versions:
                    self._drop(name, number)

    def _waiting(self):
        """How many images of all models are in no batch yet."""
        servables = []
        with self._lock:
            for versions in self._versions.values():
                servables += _available(versions).values()
        return sum(servable.waiting() for servable in servables)

    def _find(self, spec):
        """The newest `Servable` that fits a ModelSpec; the caller holds the lock."""
        wanted = self._wanted_version(spec)
        servables = _available(self._versions.get(spec.name, {}))
        number = max(servables, default=None) if wanted is None else wanted
        if number not in servables:
            what = f"Latest({spec.name})" if wanted is None else f"Specific({spec.name}, {wanted})"
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {what}")
        return servables[number]

    def _wanted_version(self, spec):
        """The number that a ModelSpec asks for, or None for the newest version."""
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        if spec.WhichOneof("version_choice") == "version":
            return spec.version.value or None  # OpenVINO's client says 0 for the newest
        if not spec.version_label or spec.name not in self._configs:
            return None
        labels = self._configs[spec.name].version_labels
        if spec.version_label not in labels:
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        return labels[spec.version_label]

    def _check_labels(self, model):
        servables = _available(self._versions[model.name])
        for label, number in model.version_labels.items():
            if number not in servables:
                raise Refused(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"label {label}: version {number} of model {model.name} "
                    "is not available for inference",
                )

    def _follow(self, configs):
        """Loads the versions that are wanted, and drops the others once a wanted one answers."""
        for name, config in configs.items():
            try:
                folders = _version_folders(config.base_path)
            except OSError as error:  # the loaded versions stay
                log.error("%s: %s", config.base_path, error)
                continue
            versions = self._versions[name]
            wanted = _wanted(config.model_version_policy, sorted(folders))
            for number in wanted:
                self._bring(name, number, folders[number])
            if not wanted or not _available(versions).keys().isdisjoint(wanted):
                for number in set(versions) - set(wanted):
                    self._drop(name, number)

    def _bring(self, name, number, folder):
        """Loads a version, unless it is loaded or failed with the very same files before."""
        version = self._versions[name].get(number, Version())
        files = _files(folder)
        if version.servable or version.files == files:
            return
        version = Version(ModelVersionStatus.LOADING, files=files)
        with self._lock:
            self._versions[name][number] = version
        log.info("loading %s/%d from %s", name, number, folder)
        try:
            servable = self._load(name, number, folder)
        except Exception as error:  # whatever is wrong with a folder, other versions keep answering
            version.state = ModelVersionStatus.END
            version.error = " ".join(str(error).split())
            log.error("%s/%d does not load: %s", name, number, version.error)
            return
        with self._lock:
            version.state = ModelVersionStatus.AVAILABLE
            version.servable = servable
        self._metrics.version_changes(name, number, True)
        log.info("%s/%d is available", name, number)

    def _drop(self, name, number):
        """Takes a version out of the table, and closes it after its last request."""
        version = self._versions[name][number]
        if not version.servable:
            return
        with self._lock:
            servable = version.servable
            version.servable = None
            version.state = ModelVersionStatus.UNLOADING
        self._metrics.version_changes(name, number, False)
        servable.close()
        version.state = ModelVersionStatus.END
        version.files = ()
        log.info("%s/%d is unloaded", name, number)


def _available(versions):
    """{number: `Servable`} of the versions that answer, of {number: `Version`}."""
    return {number: version.servable for number, version in versions.items() if version.servable}


def _folders(configs):
    return {name: model.base_path for name, model in configs.items()}


def _version_folders(base_path):
    """{number: folder} of a model's folder; a version without its graph is still being copied."""
    folders = {}
    for path in Path(base_path).iterdir():
        graph = path / tf.saved_model.SAVED_MODEL_FILENAME_PB
        if path.name.isdecimal() and graph.exists():
            folders[int(path.name)] = path
    return folders


def _wanted(policy, numbers):
    """The numbers that a ServableVersionPolicy asks for, of all numbers in ascending order."""
    match policy.WhichOneof("policy_choice"):
        case "all":
            return numbers
        case "specific":
            return [number for number in numbers if number in policy.specific.versions]
    return numbers[-(policy.latest.num_versions or 1) :]


def _files(folder):
    """Name, size and time of every file in a folder: differs if the content has changed."""
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            stat = path.stat()
            files.append((str(path), stat.st_size, stat.st_mtime_ns))
    return tuple(files)
