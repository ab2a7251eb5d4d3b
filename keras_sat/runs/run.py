"""A run's folder: config.yaml, vocabulary.txt, run.json, encoder.keras, checkpoints/, logs/, metrics.jsonl, evaluation/."""

import functools
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.data.prepared import open_prepared
from keras_sat.utils.errors import UserError
from keras_sat.utils.files import atomic, write_text


@dataclass(frozen=True)
class Run:
    """An experiment on disk. `facts`: what the model must know of its data (inputs' shapes, fingerprints)."""

    folder: Path
    experiment: configuration.Experiment
    facts: dict

    def vocabulary(self):
        """The run's vocabulary.

        Raises:
            UserError: where it is not the one that the model was trained with.
        """
        from keras_sat.text.vocabulary import Vocabulary

        path = self.folder / "vocabulary.txt"
        vocabulary = Vocabulary.load(path)
        if vocabulary.fingerprint != self.facts["vocabulary"]:
            raise UserError(
                f"{path}: fingerprint {vocabulary.fingerprint}, but the model was trained with {self.facts['vocabulary']}; "
                "restore the run's own vocabulary"
            )
        return vocabulary

    def data(self, folder=None):
        """The prepared data set that the run was trained on, or the one in `folder`, made alike.

        Raises:
            UserError: missing, or its vocabulary or encoder are not those of the run.
        """
        data = open_prepared(folder or self.experiment.data.path)
        for what, value in _facts(data, self.experiment).items():
            # The same pictures and captions prepared again, or another corpus with this vocabulary and CNN, will do.
            if what != "data" and value != self.facts[what]:
                raise UserError(
                    f"{data.folder}: its {what} ({value}) does not match that of {self.folder} ({self.facts[what]}); "
                    "use the data set that the run was trained on, or train anew"
                )
        return data

    def build_model(self):
        """The captioner with its initial weights.

        Raises:
            UserError: the CNN to train lacks the layer to train from.
        """
        from keras_sat.encoder.cnn import load_encoder, unfreeze
        from keras_sat.models import build_captioner

        experiment, finetune, cnn = self.experiment, self.experiment.finetune, None
        if finetune.from_layer:
            cnn = load_encoder(self.folder / "encoder.keras")  # one of its own: it will be changed
            unfreeze(cnn, finetune.from_layer, finetune.batch_norm)
        sizes = self.facts["vocabulary_size"], self.facts["inputs"]
        return build_captioner(experiment.model, *sizes, experiment.seed, cnn, finetune)

    def checkpoint(self, which="best"):
        """The path of checkpoints/best or checkpoints/last.

        Raises:
            UserError: there is none yet.
        """
        import tensorflow as tf

        state = tf.train.get_checkpoint_state(str(self.folder / "checkpoints" / which))
        if state is None:
            raise UserError(f"{self.folder}: has no {which} checkpoint yet; train it first")
        return state.model_checkpoint_path

    def fingerprint(self):
        """Of the best checkpoint's files, 16 hexadecimal digits. Raises: UserError: there is none yet."""
        path, digest = Path(self.checkpoint()), hashlib.sha256()
        for part in sorted(path.parent.glob(f"{path.name}.*")):
            digest.update(part.read_bytes())
        return digest.hexdigest()[:16]

    @property
    def members(self):
        """The runs that caption: this one, or those of an ensemble."""
        return (self,)

    def curve(self):
        """The lines of metrics.jsonl, [{name: number}], one an epoch. Raises: UserError: it cannot be read."""
        path = self.folder / "metrics.jsonl"
        try:
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: cannot be read ({error}); the run is damaged, train it anew"
            ) from error

    def describe(self):
        """What was trained, on what and by which code, for JSON. Raises: UserError: not trained yet."""
        from keras_sat.runs.checkpoints import read_progress

        best = read_progress(self.checkpoint())
        settings = configuration.as_dict(self.experiment)
        return {
            "run": self.folder.name,
            "checkpoint": self.fingerprint(),
            "commit": best.commit,
            "best_epoch": best.best_epoch,
            "teachers": best.teachers,
            "data": {**settings["data"], "fingerprint": self.facts["data"]},
            **{key: settings[key] for key in ("seed", "init_from", "model", "finetune", "train")},
        }

    def load_model(self, which="best"):
        """The captioner with the weights of checkpoints/best or checkpoints/last.

        Raises:
            UserError: no checkpoint yet, one that does not fit, or one of another vocabulary.
        """
        import tensorflow as tf

        from keras_sat.runs.checkpoints import read_progress

        path = self.checkpoint(which)
        model = self.build_model()
        progress = read_progress(path)
        if progress.vocabulary != self.facts["vocabulary"]:
            raise UserError(
                f"{path}: belongs to vocabulary {progress.vocabulary}, the run to {self.facts['vocabulary']}"
            )
        try:
            tf.train.Checkpoint(model=model).restore(
                path
            ).expect_partial().assert_existing_objects_matched()
        except (ValueError, AssertionError, tf.errors.OpError) as error:
            raise UserError(
                f"{path}: does not fit the model of {self.folder}/config.yaml ({error})"
            ) from error
        return model

    @property
    def inputs(self):
        """{name: shape of an image's} of what `captioner` takes.

        Raises:
            UserError: decoding.mirror, and what cannot be mirrored.
        """
        inputs, size = self.facts["inputs"], self.facts["encoder"]["image_size"]
        extra = self.experiment.decoding.extra_inputs(inputs)
        return inputs | {name: [size, size, 3] for name in extra}

    def captioner(self, model=None):
        """What captions under the run's decoding settings: a model; with `mirror`, two of it, the other at the mirror image.

        Args:
            model: of `load_model`, which is the default.
        Raises:
            UserError: as `load_model`; what cannot be mirrored.
        """
        from keras_sat.models.ensemble import Ensemble
        from keras_sat.models.mirrored import Mirrored

        model, inputs = model or self.load_model(), self.inputs
        if not self.experiment.decoding.mirror:
            return model
        return Ensemble(
            [model, Mirrored(model, self.features, inputs["pixels"], self.vocabulary().mirrored)]
        )

    @functools.cached_property
    def encoder(self):
        """The CNN with which the run's features were made."""
        from keras_sat.encoder.cnn import load_encoder

        return load_encoder(self.folder / "encoder.keras")

    @functools.cached_property
    def features(self):
        """The captioner's inputs from what `keras_sat.encoder.cnn.picture_inputs` gives: a compiled function of {name: [B, …]}.

        Feature maps go through the form in which preparation stores them, so that the model sees what it saw in training.
        """
        import tensorflow as tf

        from keras_sat.encoder.cnn import PICTURES, dequantise, enlarged, quantise

        names, encoders = self.inputs, {}
        if "features" in names:
            encoders["features"] = self.encoder
        if "region_features" in names:
            encoders["region_features"] = enlarged(
                self.encoder, self.facts["proposals"]["image_size"]
            )

        @tf.function(autograph=False, reduce_retracing=True)
        def features(pictures):
            inputs = {name: pictures[name] for name in names if name not in encoders}
            for name, encoder in encoders.items():
                stored = quantise(
                    encoder(pictures[PICTURES[name]], training=False),
                    self.facts["encoder"]["quantisation"],
                )
                inputs[name] = dequantise(*stored)
            return inputs

        return features


def create_run(folder, experiment, data):
    """Makes the run's folder, or opens it again to be resumed.

    Raises:
        UserError: the folder holds a run with other settings or data.
    """
    folder = Path(folder)
    if set(str(folder.resolve())) & set("*?["):
        raise UserError(
            f"{folder}: TensorFlow takes * ? [ in a checkpoint's path for a pattern; choose another --run"
        )
    facts = _facts(data, experiment)
    data.check_inputs(experiment.data.stored_views(facts["inputs"]))
    # Checked now, since decoding would miss them only once the model is trained.
    data.check_inputs(experiment.decoding.extra_inputs(facts["inputs"]))
    found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if "config.yaml" in found and found <= _BEFORE_TRAINING:
        shutil.rmtree(
            folder
        )  # it ended before its first checkpoint, perhaps for a setting that has been mended
    elif "config.yaml" in found:
        return _reopen(folder, experiment, facts)
    elif found:
        raise UserError(f"{folder}: exists and is no run; choose another --run")
    with atomic(folder) as new:
        new.mkdir()
        shutil.copy(data.folder / "vocabulary.txt", new)
        _link(data.folder / "encoder.keras", new / "encoder.keras")
        write_text(new / "run.json", json.dumps(facts, indent=2) + "\n")
        write_text(new / "config.yaml", configuration.to_yaml(experiment))
    return Run(folder, experiment, facts)


_BEFORE_TRAINING = {"config.yaml", "run.json", "vocabulary.txt", "encoder.keras", "logs"}


def _facts(data, experiment):
    available = data.input_shapes
    names = experiment.model_inputs(available)
    data.check_inputs(names)
    return {
        "inputs": {name: list(available[name]) for name in names},
        "vocabulary": data.vocabulary_fingerprint,
        "vocabulary_size": data.manifest["vocabulary"]["size"],
        "proposals": data.manifest["proposals"] if "boxes" in names else None,
        "encoder": {
            key: value for key, value in data.manifest["encoder"].items() if key != "relative_error"
        },
        "data": data.manifest["fingerprint"],
    }


def open_run(folder):
    """Opens a run.

    Raises:
        UserError: no run there, or its files cannot be read.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").exists():
        raise UserError(
            f"{folder}: no run there (no config.yaml); train one: python -m keras_sat.train --run {folder}"
        )
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
        fixed = key.removeprefix("train.") not in _MAY_CHANGE and not key.startswith(
            ("prepare.", "decoding.", "push.")
        )
        if fixed and value != old.get(key):
            raise UserError(
                f"{folder}: was started with {key}={old.get(key)}, not {value}; to resume it leave that out, to start anew "
                "choose another --run"
            )
    for key, value in facts.items():
        if value != run.facts.get(key):
            raise UserError(f"{folder}: was started on other data ({key}); choose another --run")
    if (
        experiment.train.schedule == "cosine"
        and experiment.train.epochs != run.experiment.train.epochs
    ):
        raise UserError(
            f"{folder}: train.epochs cannot change under schedule `cosine`, which ends at the last epoch"
        )
    write_text(folder / "config.yaml", configuration.to_yaml(experiment))
    return Run(folder, experiment, facts)


def _flat(values, prefix=""):
    flat = {}
    for key, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def _link(source, target):
    """A hard link where the file system can, since the encoder is large."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
