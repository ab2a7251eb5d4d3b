"""A prepared data set on disk: found, checked and described before anything is read from it.

Free of TensorFlow.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.data import schemas
from keras_sat.data.record import FORMAT_VERSION
from keras_sat.utils import hashing
from keras_sat.utils.errors import UserError
from keras_sat.utils.json_files import read_json

COMPLETED = "COMPLETED"
AGAIN = "prepare the data set again"  # the way out of damage

# {input: what a data set without it lacks, and the way out}
_LACKING = {
    "pixels": "holds no pictures, for finetune.from_layer, decoding.mirror or a gallery; prepare "
    "it with --set keep_pictures=true",
    "mirrored_features": "has no features of flipped images, for data.mirror; prepare it with "
    "--set mirror=true",
    "cropped_features": "has no features of crops, for data.crops; prepare it with "
    "--set mirror=true --set crops=4",
    "boxes": "has no object proposals; prepare it with --set proposals.method=edgeboxes",
    "region_features": "has no feature maps of larger pictures; prepare it with "
    "--set proposals.image_size=PIXELS and a proposals.method",
}


@dataclass(frozen=True)
class PreparedData:
    """A data set that `keras-sat prepare` made.

    Attributes:
        folder: the data set's folder.
        manifest: the content of manifest.json.
        statistics: the content of statistics.json.
    """

    folder: Path
    manifest: dict
    statistics: dict

    @property
    def preparation(self):
        """The `keras_sat.config.Prepare` that it was made with.

        Settings that are newer than the data set have their defaults.
        """
        values = {"prepare": self.manifest["settings"]}
        return configuration.from_values(values, f"{self.folder}/manifest.json").prepare

    @property
    def feature_shape(self):
        """(h, w, D) of the feature maps."""
        return tuple(self.manifest["encoder"]["feature_shape"])

    @property
    def quantisation(self):
        """`uint8` or `float16`, the form of the stored feature maps."""
        return self.manifest["encoder"]["quantisation"]

    @property
    def vocabulary_fingerprint(self):
        return self.manifest["vocabulary"]["fingerprint"]

    @property
    def input_shapes(self):
        """{name: shape per image} of all that a model can be fed, see `input_pipeline`.

        Feature maps of flipped images and of crops exist in the training split only.
        """
        settings = self.manifest["settings"]
        encoder = self.manifest["encoder"]
        proposals = self.manifest.get("proposals")
        shapes = {"features": self.feature_shape}
        if settings.get("mirror"):
            shapes["mirrored_features"] = self.feature_shape
        if settings.get("crops"):
            shapes["cropped_features"] = (settings["crops"], *self.feature_shape)
        if settings.get("keep_pictures", True):
            shapes["pixels"] = (encoder["image_size"], encoder["image_size"], 3)
        if proposals:
            shapes["boxes"] = (proposals["most"], 4)
            if proposals["image_size"]:
                shapes["region_features"] = tuple(proposals["feature_shape"])
        return shapes

    def check_inputs(self, names):
        """Checks that the data set can feed a model these inputs.

        Raises:
            UserError: it lacks one.
        """
        for name in names:
            if name not in self.input_shapes:
                raise UserError(f"{self.folder}: {_LACKING[name]}")

    def shards(self, split):
        """The paths of a split's shards, in order.

        Raises:
            UserError: the data set has no such split, or a shard is missing or was cut short.
        """
        if split not in self.manifest["splits"]:
            raise UserError(f"{self.folder}: {self._split_fault(split)}")
        paths = []
        for shard in self.manifest["splits"][split]:
            path = self.folder / shard["name"]
            if not path.exists():
                raise UserError(f"{path}: the shard is missing; {AGAIN}")
            size = path.stat().st_size
            if size != shard["bytes"]:
                raise UserError(
                    f"{path}: the shard has {size} bytes instead of {shard['bytes']}; {AGAIN}"
                )
            paths.append(str(path))
        return paths

    def all_shards(self):
        """The manifest's entries of all shards: [{"name", "images", "bytes", "sha256"}]."""
        found = []
        for shards in self.manifest["splits"].values():
            found += shards
        return found

    def _split_fault(self, split):
        """What is wrong with asking for a split that does not exist, and the way out."""
        known = [name for name in ("train", "val", "test") if name in self.manifest["splits"]]
        fault = f"has no split {split!r}, only {', '.join(known)}"
        if split not in ("val", "test"):
            return fault
        dataset = self.manifest.get("dataset")
        larger_share = f"prepare it with a larger --set shares.{split}=SHARE"
        if dataset == "folder":
            return f"{fault}; {larger_share} or a column `split`"
        if dataset == "flickr30k":
            return f"{fault}; {larger_share}, or list it in Flickr30k Entities' files"
        if dataset == "scenes":
            source = ",".join(f"{name}=NUMBER" for name in [*known, split])
            return f"{fault}; prepare it with --source {source}"
        return f"{fault}; its corpus lists none"

    def images(self, split):
        """How many images a split has."""
        return self.statistics[split]["images"]


def open_prepared(folder):
    """Opens a prepared data set, and holds the files that describe it against their hashes.

    Args:
        folder: its path.
    Returns:
        A `PreparedData`.
    Raises:
        UserError: missing, unfinished, damaged or unreadable folder, or one of another format
            version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such data set; make one: keras-sat prepare --dataset … --output {folder}"
        )
    if not (folder / COMPLETED).exists():
        raise UserError(
            f"{folder}: not a finished data set (no {COMPLETED}); "
            "run the same keras-sat prepare again"
        )
    manifest = _read_manifest(folder / "manifest.json")
    schema = schemas.statistics(manifest["splits"])
    statistics = read_json(folder / "statistics.json", schema, AGAIN)
    hashing.check_sum(folder, "statistics.json", AGAIN)
    hashing.check_sum(folder, "vocabulary.txt", AGAIN)
    for split, shards in manifest["splits"].items():
        images = sum(shard["images"] for shard in shards)
        if statistics[split]["images"] != images:
            raise UserError(
                f"{folder}/statistics.json: {split}.images: {statistics[split]['images']}, but the "
                f"shards of manifest.json hold {images}; {AGAIN}"
            )
    return PreparedData(folder, manifest, statistics)


def _read_manifest(path):
    # The format comes first: another one may have other keys.
    version = read_json(path, {"type": "object"}, AGAIN).get("format")
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: format: {version!r}, but this version reads {FORMAT_VERSION}; {AGAIN}"
        )
    manifest = read_json(path, schemas.MANIFEST, AGAIN)
    found = manifest_fingerprint(manifest)
    if found != manifest["fingerprint"]:
        raise UserError(
            f"{path}: has changed since it was written (fingerprint {found}, "
            f"recorded {manifest['fingerprint']}); {AGAIN}"
        )
    return manifest


def manifest_fingerprint(manifest):
    """The fingerprint that a manifest should record of itself, from all its other keys."""
    others = {key: value for key, value in manifest.items() if key != "fingerprint"}
    return hashing.fingerprint(json.dumps(others, sort_keys=True))
