"""Checkpoint folders of Hugging Face: found, downloaded, and read without PyTorch."""

from pathlib import Path

import ml_dtypes  # noqa: F401  gives NumPy bfloat16, which safetensors needs
import numpy as np
from safetensors import SafetensorError, safe_open

from keras_sat.utils import hashing
from keras_sat.utils.errors import UserError, nearest
from keras_sat.utils.extras import hugging_face_hub
from keras_sat.utils.json_files import read_json

PREFIX = "hf:"
AGAIN = "download the checkpoint again"  # the way out of damage
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"


def fingerprint(name):
    """16 hexadecimal digits that identify the files of a checkpoint.

    Args:
        name: `hf:DIR`, or `hf:OWNER/NAME` of the hub.
    """
    folder = folder_of(name)
    sums = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]):
        sums.append(f"{path.name} {hashing.sha256_file(path)}")
    return hashing.fingerprint("\n".join(sums))


def folder_of(name):
    """The checkpoint's folder, which is downloaded if it is a name of the hub.

    Args:
        name: as for `fingerprint`.

    Raises:
        UserError: there is neither.
    """
    name = name.removeprefix(PREFIX)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(f"encoder.name: {PREFIX}{name}: no such folder")
    hub = hugging_face_hub(f"{PREFIX}{name}")
    try:
        found = hub.snapshot_download(name, allow_patterns=["*.json", "*.safetensors"])
    except Exception as error:  # of the network, of the hub, of its cache
        reason = str(error).splitlines()[0]
        raise UserError(
            f"encoder.name: {PREFIX}{name}: no such folder, and cannot be downloaded ({reason}); "
            "where there is no network, copy the checkpoint here and name its folder, hf:DIR"
        ) from error
    return Path(found)


class Checkpoint:
    """The tensors of a checkpoint's folder, read one by one as float32.

    Args:
        folder: see `folder_of`.
        prefixes: how the names of the tensors may begin.
        known: a tensor that every checkpoint has, by which the prefix is recognised.

    Raises:
        UserError: a file is missing or damaged, or a tensor is missing.
    """

    def __init__(self, folder, prefixes, known):
        self.folder = folder
        self._files = {}
        self._places = self._find()
        self._prefix = ""
        for prefix in prefixes:
            if prefix + known in self._places:
                self._prefix = prefix

    def _find(self):
        """{tensor: its file}."""
        index = self.folder / _INDEX
        if (self.folder / _WEIGHTS).exists():
            return dict.fromkeys(self._open(_WEIGHTS).keys(), _WEIGHTS)
        if index.exists():
            schema = {"type": "object", "required": ["weight_map"]}
            places = read_json(index, schema, AGAIN)["weight_map"]
            for file in sorted(set(places.values())):
                self._open(file)
            return places
        others = sorted(self.folder.glob("*.bin")) + sorted(self.folder.glob("*.pt*"))
        if others:
            raise UserError(
                f"{others[0]}: is a pickle, which could run any code; convert it with "
                "`save_pretrained(…, safe_serialization=True)`, or download model.safetensors"
            )
        raise UserError(f"{self.folder}/{_WEIGHTS}: is missing; {AGAIN}")

    def _open(self, file):
        if file not in self._files:
            path = self.folder / file
            if not path.exists():
                raise UserError(f"{path}: is missing; {AGAIN}")
            try:
                self._files[file] = safe_open(path, framework="numpy")
            except (SafetensorError, OSError) as error:
                raise UserError(f"{path}: cannot be read ({error}); {AGAIN}") from error
        return self._files[file]

    def has(self, name):
        return self._prefix + name in self._places

    def read(self, name):
        """A tensor, float32."""
        full = self._prefix + name
        if full not in self._places:
            raise UserError(f"{self.folder}: lacks the tensor {full}{nearest(full, self._places)}")
        return self._open(self._places[full]).get_tensor(full).astype(np.float32)

    def dense(self, name):
        """[kernel, bias] of a Dense layer; PyTorch's kernels are transposed."""
        return [self.read(f"{name}.weight").T, self.read(f"{name}.bias")]

    def norm(self, name):
        """[gamma, beta] of a layer normalisation."""
        return [self.read(f"{name}.weight"), self.read(f"{name}.bias")]

    def fill(self, part, values, prefix):
        """Gives a layer its weights.

        Raises:
            UserError: a shape is not the one that config.json describes.
        """
        for value, weight in zip(values, part.get_weights()):
            if value.shape != weight.shape:
                raise UserError(
                    f"{self.folder}: {prefix}{part.name} has shape {list(value.shape)}, but "
                    f"config.json describes {list(weight.shape)}; {AGAIN}"
                )
        part.set_weights(values)
