"""The settings that a model's name stands for, chosen by the data set. It imports no TensorFlow."""

import math
from pathlib import Path
from typing import NamedTuple

from keras_sat import config as configuration
from keras_sat.utils.errors import UserError, nearest

# An optimizer needs about this many updates, however small the data set.
_UPDATES = 2_000
_MOST_EPOCHS = 100


class Chosen(NamedTuple):
    """An experiment, and what to call it.

    Attributes:
        name: of the run, if it is given no other.
        settings: where the settings come from, for the user.
        experiment: the `keras_sat.config.Experiment`.
    """

    name: str
    settings: str
    experiment: configuration.Experiment


def choose(model, path, data, overrides=()):
    """The experiment that the arguments of `keras-sat train` describe.

    Without a configuration, scenes_MODEL on the built-in data set and photos_MODEL on any other.
    The latter's settings were tuned on Flickr8k. On less data there are more epochs, and what the
    data set does not hold is not asked of it.

    Args:
        model: a system's name, or None.
        path: a configuration, see `keras_sat.config.find`, or None.
        data: the `PreparedData` to train on in place of the experiment's, or None.
        overrides: see `keras_sat.config.load`.

    Raises:
        UserError: an unknown model, or one that contradicts the configuration.
    """
    if model and model not in configuration.SYSTEMS:
        raise UserError(f"--model {model}: unknown{nearest(model, configuration.SYSTEMS)}")
    if data:
        overrides = [*overrides, ("data.path", str(data.folder))]
    if path:
        experiment = configuration.load(path, overrides)
        if model and experiment.model.name != model:
            described = experiment.model.name
            raise UserError(
                f"--model {model}: but {path} describes {described}; leave one of them out"
            )
        return Chosen(Path(path).stem, str(path), experiment)
    model = model or "soft"
    if data is None or data.preparation.dataset == "scenes":
        name = f"scenes_{model}"
        return Chosen(name, name, configuration.load(name, overrides))
    preset = f"photos_{model}"
    changes = _for_its_size(data, configuration.load(preset)) + _for_its_content(data)
    experiment = configuration.load(preset, [*changes, *overrides])
    settings = " ".join([preset, *(f"{key}={value}" for key, value in changes)])
    return Chosen(f"{data.folder.resolve().name}_{model}", settings, experiment)


def _for_its_size(data, experiment):
    """More epochs where an epoch has few updates, and a warm-up that is a part of them."""
    updates = math.ceil(data.statistics["train"]["captions"] / experiment.data.batch_size)
    epochs = min(math.ceil(_UPDATES / updates), _MOST_EPOCHS)
    if epochs <= experiment.train.epochs:
        return []
    changes = [("train.epochs", epochs)]
    warmup = epochs * updates // 20
    if warmup < experiment.train.warmup_steps:
        changes.append(("train.warmup_steps", warmup))
    return changes


def _for_its_content(data):
    """No flipped images where their feature maps, or the pictures to flip, are not stored."""
    changes = []
    if "mirrored_features" not in data.input_shapes:
        changes.append(("data.mirror", False))
    if "pixels" not in data.input_shapes or "region_features" in data.input_shapes:
        changes.append(("decoding.mirror", False))
    return changes
