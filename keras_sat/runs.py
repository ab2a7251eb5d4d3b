"""A run's folder: config.yaml, vocabulary.txt, run.json, encoder.keras, checkpoints/, logs/, metrics.jsonl, evaluation/."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.data.prepared import open_prepared
from keras_sat.errors import UserError


@dataclass(frozen=True)
class Run:
    """An experiment on disk. `facts`: what the model must know of its data (feature shape, fingerprints)."""

    folder: Path
    experiment: configuration.Experiment
    facts: dict

    @property
    def feature_shape(self):
        """(h, w, D)."""
        return tuple(self.facts["feature_shape"])

    def vocabulary(self):
        """The run's vocabulary.

        Raises:
            UserError: where it is not the one that the model was trained with.
        """
        from keras_sat.text import Vocabulary

        path = self.folder / "vocabulary.txt"
        vocabulary = Vocabulary.load(path)
        if vocabulary.fingerprint != self.facts["vocabulary"]:
            raise UserError(
                f"{path}: fingerprint {vocabulary.fingerprint}, but the model was trained with {self.facts['vocabulary']}; "
                "restore the run's own vocabulary"
            )
        return vocabulary

    def data(self):
        """The prepared data set that the run was trained on.

        Raises:
            UserError: missing, or its vocabulary or features are not those of the run.
        """
        data = open_prepared(self.experiment.data.path)
        for what, of_data in (("vocabulary", data.vocabulary_fingerprint), ("feature_shape", list(data.feature_shape))):
            if of_data != self.facts[what]:
                raise UserError(
                    f"{data.folder}: {what} {of_data} does not match the run's {self.facts[what]} ({self.folder}); "
                    "use the data set that the run was trained on, or train anew"
                )
        return data

    def build_model(self):
        """The captioner with its initial weights."""
        from keras_sat.models import build_captioner

        return build_captioner(self.experiment.model, self.facts["vocabulary_size"], self.feature_shape, self.experiment.seed)

    def load_model(self, which="best"):
        """The captioner with the weights of checkpoints/best or checkpoints/last.

        Raises:
            UserError: no checkpoint yet, one that does not fit, or one of another vocabulary.
        """
        import tensorflow as tf

        from keras_sat.checkpoints import read_progress

        path = tf.train.latest_checkpoint(str(self.folder / "checkpoints" / which))
        if path is None:
            raise UserError(f"{self.folder}: has no {which} checkpoint yet; train it first")
        model = self.build_model()
        progress = read_progress(path)
        if progress.vocabulary != self.facts["vocabulary"]:
            raise UserError(f"{path}: belongs to vocabulary {progress.vocabulary}, the run to {self.facts['vocabulary']}")
        try:
            tf.train.Checkpoint(model=model).restore(path).expect_partial().assert_existing_objects_matched()
        except (ValueError, AssertionError, tf.errors.OpError) as error:
            raise UserError(f"{path}: does not fit the model of {self.folder}/config.yaml ({error})") from error
        return model

    def encoder(self):
        """The CNN with which the run's features were made."""
        from keras_sat.encoder import load_encoder

        return load_encoder(self.folder / "encoder.keras")


def create_run(folder, experiment, data):
    """Makes the run's folder, or opens it again to be resumed.

    Raises:
        UserError: the folder holds a run with other settings or data.
    """
    folder = Path(folder)
    facts = {
        "feature_shape": list(data.feature_shape),
        "vocabulary": data.vocabulary_fingerprint,
        "vocabulary_size": data.manifest["vocabulary"]["size"],
        "data": data.manifest["fingerprint"],
        "encoder": data.manifest["encoder"],
    }
    if (folder / "config.yaml").exists():
        return _reopen(folder, experiment, facts)
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: exists and is no run; choose another --run")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("vocabulary.txt", "encoder.keras"):
        _link(data.folder / name, folder / name)
    _write(folder / "run.json", json.dumps(facts, indent=2) + "\n")
    _write(folder / "config.yaml", configuration.to_yaml(experiment))  # last: it makes the folder a run
    return Run(folder, experiment, facts)


def open_run(folder):
    """Opens a run.

    Raises:
        UserError: no run there, or its files cannot be read.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").exists():
        raise UserError(f"{folder}: no run there (no config.yaml); train one: python -m keras_sat.train --run {folder}")
    try:
        facts = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}/run.json: cannot be read ({error})") from error
    return Run(folder, configuration.load(folder / "config.yaml"), facts)


_MAY_CHANGE = ("epochs", "max_minutes", "checkpoint_minutes", "patience")


def _reopen(folder, experiment, facts):
    run = open_run(folder)
    old, new = (_flat(configuration.as_dict(each)) for each in (run.experiment, experiment))
    for key, value in new.items():
        if value != old.get(key) and key.removeprefix("train.") not in _MAY_CHANGE and not key.startswith("prepare."):
            raise UserError(
                f"{folder}: was started with {key}={old.get(key)}, not {value}; to resume it leave that out, to start anew "
                "choose another --run"
            )
    for key, value in facts.items():
        if value != run.facts.get(key):
            raise UserError(f"{folder}: was started on other data ({key}); choose another --run")
    _write(folder / "config.yaml", configuration.to_yaml(experiment))
    return Run(folder, experiment, facts)


def _flat(values, prefix=""):
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _link(source, target):
    """A hard link where the file system can, since the encoder is large."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def _write(path, text):
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
