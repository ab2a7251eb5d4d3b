"""A prepared data set on disk: found, checked and described before anything is read from it."""

import json
from dataclasses import dataclass
from pathlib import Path

from keras_sat.data.record import FORMAT_VERSION
from keras_sat.utils.errors import UserError

COMPLETED = "COMPLETED"


@dataclass(frozen=True)
class PreparedData:
    """The folder that `pipeline.prepare` made, with its manifest and statistics (see there)."""

    folder: Path
    manifest: dict
    statistics: dict

    @property
    def feature_shape(self):
        """(h, w, D) of the feature maps."""
        return tuple(self.manifest["encoder"]["feature_shape"])

    @property
    def quantisation(self):
        return self.manifest["encoder"]["quantisation"]

    @property
    def vocabulary_fingerprint(self):
        return self.manifest["vocabulary"]["fingerprint"]

    @property
    def input_shapes(self):
        """{name: shape of an image's} of everything that the data set can feed to a model, see `input_pipeline`."""
        encoder, proposals = self.manifest["encoder"], self.manifest.get("proposals")
        shapes = {"features": self.feature_shape}
        if self.manifest["settings"].get("mirror"):  # in the training split
            shapes["mirrored_features"] = self.feature_shape
        if crops := self.manifest["settings"].get("crops"):  # there, too
            shapes["cropped_features"] = (crops, *self.feature_shape)
        if self.manifest["settings"].get("keep_pictures", True):
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
        mend = {
            "pixels": "holds no pictures, for finetune.from_layer, decoding.mirror or a gallery; prepare it with --set "
            "keep_pictures=true",
            "mirrored_features": "has no features of mirror images, for data.mirror; prepare it with --set mirror=true",
            "cropped_features": "has no features of cut-outs, for data.crops; prepare it with --set mirror=true "
            "--set crops=4",
            "boxes": "has no object proposals; prepare it with --set proposals.method=edgeboxes",
            "region_features": "has no feature maps of larger pictures; prepare it with --set proposals.image_size=PIXELS "
            "and a proposals.method",
        }
        for name in names:
            if name not in self.input_shapes:
                raise UserError(f"{self.folder}: {mend[name]}")

    def shards(self, split):
        """The paths of a split's shards, in order.

        Raises:
            UserError: the data set has no such split, or a shard is missing or was cut short.
        """
        if split not in self.manifest["splits"]:
            known = [name for name in ("train", "val", "test") if name in self.manifest["splits"]]
            mend = {
                "folder": f"prepare it with a larger --set shares.{split}=SHARE or a column `split`",
                "flickr30k": f"prepare it with a larger --set shares.{split}=SHARE, or list it in Flickr30k Entities' files",
                "scenes": f"prepare it with --source {','.join(f'{name}=NUMBER' for name in [*known, split])}",
            }
            mend = (
                mend.get(self.manifest.get("dataset"), "its corpus lists none")
                if split in ("val", "test")
                else ""
            )
            raise UserError(
                f"{self.folder}: has no split {split!r}, only {', '.join(known)}{mend and f'; {mend}'}"
            )
        paths = []
        for shard in self.manifest["splits"][split]:
            path = self.folder / shard["name"]
            size = path.stat().st_size if path.exists() else None
            if size != shard["bytes"]:
                state = (
                    "is missing"
                    if size is None
                    else f"has {size} bytes instead of {shard['bytes']}"
                )
                raise UserError(f"{path}: the shard {state}; prepare the data set again")
            paths.append(str(path))
        return paths

    def images(self, split):
        return self.statistics[split]["images"]


def open_prepared(folder):
    """Opens a prepared data set.

    Raises:
        UserError: missing, unfinished or unreadable folder, or one of another format version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such data set; make one: python -m pipeline.prepare --dataset … --output {folder}"
        )
    if not (folder / COMPLETED).exists():
        raise UserError(
            f"{folder}: not a finished data set (no {COMPLETED}); run its pipeline.prepare again"
        )
    try:
        manifest, statistics = (
            json.loads((folder / f"{name}.json").read_text()) for name in ("manifest", "statistics")
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder}: cannot read its description ({error}); prepare the data set again"
        ) from error
    if manifest.get("format") != FORMAT_VERSION:
        raise UserError(
            f"{folder}: record format {manifest.get('format')}, expected {FORMAT_VERSION}; prepare it again"
        )
    return PreparedData(folder, manifest, statistics)
