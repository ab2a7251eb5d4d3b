"""A run's folder.

It holds config.yaml, vocabulary.txt, run.json, encoder.keras, SHA256SUMS of these three,
checkpoints/, logs/, metrics.jsonl and evaluation/. This module deals with files and facts only,
without TensorFlow. `keras_sat.runs.loading` makes models of them.
"""

import dataclasses
import difflib
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.data import schemas
from keras_sat.data.prepared import AGAIN, open_prepared
from keras_sat.encoder import trust
from keras_sat.runs.checkpoint_files import newest
from keras_sat.runs.packed import unpacked
from keras_sat.utils import hashing
from keras_sat.utils.errors import UserError
from keras_sat.utils.files import atomic, write_text
from keras_sat.utils.json_files import read_json, read_json_lines

_RESTORE = "restore it, or train the run anew"  # the way out of damage


@dataclass(frozen=True)
class Facts:
    """What a model must know of its data; run.json.

    Attributes:
        inputs: {name: shape of one image's input}.
        vocabulary: the vocabulary's fingerprint.
        vocabulary_size: the number of its words, the special ones included.
        proposals: the manifest's section, None where the model reads no boxes.
        encoder: the manifest's section.
        data: the data set's fingerprint.
        trusted_encoder: whether the encoder was accepted only because the user said
            --trust-encoder. It is a record and no permission: a run may come from elsewhere.
    """

    inputs: dict
    vocabulary: str
    vocabulary_size: int
    proposals: dict | None
    encoder: dict
    data: str
    trusted_encoder: bool = False

    @classmethod
    def of(cls, data, experiment, trusted_encoder=False):
        """The facts of an experiment on a `PreparedData`.

        Raises:
            UserError: the data set lacks an input.
        """
        available = data.input_shapes
        names = experiment.model_inputs(available)
        data.check_inputs(names)
        encoder = dict(data.manifest["encoder"])
        encoder.pop("relative_error", None)
        return cls(
            inputs={name: list(available[name]) for name in names},
            vocabulary=data.vocabulary_fingerprint,
            vocabulary_size=data.manifest["vocabulary"]["size"],
            proposals=data.manifest["proposals"] if "boxes" in names else None,
            encoder=encoder,
            data=data.manifest["fingerprint"],
            trusted_encoder=trusted_encoder,
        )


@dataclass(frozen=True)
class Run:
    """An experiment on disk.

    Attributes:
        folder: the run's, a Path.
        experiment: the `keras_sat.config.Experiment` in its config.yaml.
        facts: the `Facts` in its run.json.
        trust_encoder: whether its encoder may run code of its own, see `keras_sat.encoder.trust`.
    """

    folder: Path
    experiment: configuration.Experiment
    facts: Facts
    trust_encoder: bool = False

    def trusting(self):
        """The run with an encoder that may run code of its own."""
        return dataclasses.replace(self, trust_encoder=True)

    @property
    def members(self):
        """The runs that caption together: only this one. (An ensemble has several.)"""
        return (self,)

    def data(self, folder=None):
        """The prepared data set that the run was trained on, or a compatible one.

        Args:
            folder: the other one's (default: the one that the run was trained on).

        Raises:
            UserError: the data set is missing, or its vocabulary or encoder are not those of the
                run.
        """
        data = open_prepared(folder or self.experiment.data.path)
        own = vars(self.facts)
        for what, value in vars(Facts.of(data, self.experiment)).items():
            # The same corpus prepared again is compatible, and so is another corpus that was
            # prepared with this vocabulary and CNN.
            if what not in ("data", "trusted_encoder") and value != own[what]:
                raise UserError(
                    f"{data.folder}: its {what} ({value}) does not match that of {self.folder} "
                    f"({own[what]}); use the data set that the run was trained on, or train anew"
                )
        return data

    def checkpoint(self, which="best"):
        """The path of a checkpoint.

        Args:
            which: best or last, a folder in `checkpoints`.

        Raises:
            UserError: there is none yet.
        """
        path = newest(self.folder / "checkpoints" / which)
        if path is None:
            raise UserError(f"{self.folder}: has no {which} checkpoint yet; train it first")
        return str(path)

    def fingerprint(self):
        """The fingerprint of the best checkpoint's files, 16 hexadecimal digits.

        Raises:
            UserError: there is none yet.
        """
        path = Path(self.checkpoint())
        digest = hashlib.sha256()
        for part in sorted(path.parent.glob(f"{path.name}.*")):
            digest.update(part.read_bytes())
        return digest.hexdigest()[:16]

    def curve(self):
        """The lines of metrics.jsonl, one per epoch: [{name: number}].

        Raises:
            UserError: it cannot be read.
        """
        return read_json_lines(self.folder / "metrics.jsonl", schemas.EPOCH, _RESTORE)


def open_run(folder):
    """Opens a run.

    Args:
        folder: of the run, or the file of a packed run.

    Returns:
        The `Run`.

    Raises:
        UserError: there is no run, or its files cannot be read.
    """
    folder = Path(folder)
    if folder.is_file():
        folder = unpacked(folder)
    if not (folder / "config.yaml").exists():
        way_out = _similar_run(folder) or f"train one: keras-sat train --run {folder}"
        raise UserError(f"{folder}: no run there (no config.yaml); {way_out}")
    values = read_json(folder / "run.json", schemas.FACTS, _RESTORE)
    for name in ("run.json", "vocabulary.txt"):
        hashing.check_sum(folder, name, _RESTORE)
    known = [field.name for field in dataclasses.fields(Facts)]
    facts = Facts(**{key: value for key, value in values.items() if key in known})
    return Run(folder, configuration.load(folder / "config.yaml"), facts)


def _similar_run(folder):
    """A question about the run that may have been meant; empty if none is like it."""
    candidates = list(folder.parent.glob("*/config.yaml"))
    for pattern in ("runs/*/config.yaml", "*/runs/*/config.yaml"):
        candidates += Path().glob(pattern)
    by_name = {path.parent.name: path.parent for path in reversed(candidates)}
    found = difflib.get_close_matches(folder.name, by_name, n=1, cutoff=0.7)
    return f"did you mean {by_name[found[0]]}?" if found else ""


# A run that holds nothing else ended before its first checkpoint.
_BEFORE_TRAINING = {
    "config.yaml",
    "run.json",
    "vocabulary.txt",
    "encoder.keras",
    hashing.SUMS,
    "logs",
}


def create_run(folder, experiment, data, trust_encoder=False):
    """Creates the run's folder, or opens it again to be resumed.

    Args:
        folder: of the run.
        experiment: a `keras_sat.config.Experiment`.
        data: the `PreparedData` to train on.
        trust_encoder: whether its encoder may run code of its own.

    Returns:
        The `Run`.

    Raises:
        UserError: the folder holds a run with other settings or data, or something else; TensorFlow
            cannot save in a folder of that name; the data set's encoder has changed or would have
            to be trusted.
    """
    folder = Path(folder)
    if folder.is_file():
        raise UserError(
            f"{folder}: is a file; a packed run cannot be trained further, but another run can "
            f"start from it: --set init_from={folder} --run ELSEWHERE"
        )
    if set(str(folder.resolve())) & set("*?["):
        raise UserError(
            f"{folder}: TensorFlow takes * ? [ in a checkpoint's path for a pattern; "
            "choose another --run"
        )
    experiment = dataclasses.replace(experiment, prepare=data.preparation)
    encoder = data.folder / "encoder.keras"
    trust.check_trusted(encoder, trust_encoder)
    facts = Facts.of(data, experiment, trusted_encoder=trust.foreign(encoder) is not None)
    data.check_inputs(experiment.data.stored_views(facts.inputs))
    # Without this check, a missing input of decoding would be found only after training.
    data.check_inputs(experiment.decoding.extra_inputs(facts.inputs))
    found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if "config.yaml" in found and found <= _BEFORE_TRAINING:
        shutil.rmtree(folder)  # a setting that made it fail may have been corrected
    elif "config.yaml" in found:
        run = _reopen(folder, experiment, facts)
        return run.trusting() if trust_encoder else run
    elif found:
        raise UserError(f"{folder}: exists and is no run; choose another --run")
    hashing.check_sum(data.folder, "encoder.keras", AGAIN)
    with atomic(folder) as new:
        new.mkdir()
        shutil.copy(data.folder / "vocabulary.txt", new)
        _link(encoder, new / "encoder.keras")
        write_text(new / "run.json", json.dumps(dataclasses.asdict(facts), indent=2) + "\n")
        # Before config.yaml, which may change when the run is resumed.
        hashing.write_sums(new)
        write_text(new / "config.yaml", configuration.to_yaml(experiment))
    return Run(folder, experiment, facts, trust_encoder)


# A run is resumed with other values of these: they do not alter what has been trained already.
_MAY_CHANGE = (
    "train.epochs",
    "train.max_minutes",
    "train.checkpoint_minutes",
    "train.patience",
    # What trained before them is in the checkpoint's `Progress.changes`.
    "train.learning_rate",
    "train.clip_norm",
    "train.accumulate",
)
_SECTIONS_THAT_MAY_CHANGE = ("prepare.", "decoding.", "push.")


def _reopen(folder, experiment, facts):
    run = open_run(folder)
    before = flat(configuration.as_dict(run.experiment))
    for key, value in flat(configuration.as_dict(experiment)).items():
        if key in _MAY_CHANGE or key.startswith(_SECTIONS_THAT_MAY_CHANGE):
            continue
        if value != before.get(key):
            raise UserError(
                f"{folder}: was started with {key}={before.get(key)}, not {value}; "
                "to resume it leave that out, to start anew choose another --run"
            )
    recorded = vars(run.facts)
    for key, value in vars(facts).items():
        if key != "trusted_encoder" and value != recorded[key]:
            raise UserError(f"{folder}: was started on other data ({key}); choose another --run")
    epochs_change = experiment.train.epochs != run.experiment.train.epochs
    if experiment.train.schedule == "cosine" and epochs_change:
        raise UserError(
            f"{folder}: train.epochs cannot change under schedule `cosine`, "
            "which ends at the last epoch"
        )
    write_text(folder / "config.yaml", configuration.to_yaml(experiment))
    return Run(folder, experiment, facts)


def flat(values, prefix=""):
    """Nested dictionaries as {"section.key": value}."""
    found = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _link(source, target):
    """A hard link where the file system can, since the encoder is large."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
