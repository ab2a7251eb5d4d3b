"""Captioners as .keras files: their settings, and what they were compiled with."""

import contextlib
import dataclasses

import keras

from keras_sat.config import SYSTEMS, FineTuning
from keras_sat.config.reader import build


def to_config(model):
    """The constructor's arguments of a `Captioner` as plain dictionaries, for `get_config`."""
    shapes = {name: list(shape) for name, shape in model.input_shapes.items()}
    finetune = dataclasses.asdict(model.finetune) if model.finetune else None
    cnn = keras.saving.serialize_keras_object(model.cnn) if model.cnn else None
    return {
        "name": model.name,
        "config": dataclasses.asdict(model.config),
        "vocabulary_size": model.vocabulary_size,
        "input_shapes": shapes,
        "cnn": cnn,
        "finetune": finetune,
        "max_length": model.max_length,
        "policy": model.dtype_policy.name,
    }


def from_config(captioner_class, config):
    """A `Captioner` without weights from what `to_config` gave.

    Raises:
        UserError: settings of another version of keras_sat that this one does not know.
    """
    arguments = dict(config)
    policy = arguments.pop("policy")
    settings = arguments["config"]
    arguments["config"] = build(SYSTEMS[settings["name"]], settings, "model", prefix="model.")
    if arguments["finetune"]:
        finetune = build(FineTuning, arguments["finetune"], "model", prefix="finetune.")
        arguments["finetune"] = finetune
    if arguments["cnn"]:
        arguments["cnn"] = keras.saving.deserialize_keras_object(arguments["cnn"])
    with _global_policy(policy):
        return captioner_class(**arguments)


@contextlib.contextmanager
def _global_policy(name):
    """Within the block, layers are made with this policy of mixed precision."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def to_compile_config(optimizer, objective, settings):
    """What a model was compiled with as plain dictionaries, for `get_compile_config`.

    Args:
        optimizer: of the model.
        objective: of the model.
        settings: the other arguments of `Captioner.compile`, plain values.

    Returns:
        {"optimizer": …, "objective": …, "settings": …}; or {"lacks": what cannot be stored}, with
        which the model is loaded without being compiled.
    """
    is_legacy = not isinstance(optimizer, keras.optimizers.Optimizer)
    # A subclass may have settings that its base class does not store.
    stores_settings = "get_config" in vars(type(objective))
    for thing, is_stored in ((optimizer, not is_legacy), (objective, stores_settings)):
        if not is_stored or not _can_be_restored(thing):
            return {"lacks": type(thing).__name__}
    return {
        "optimizer": keras.saving.serialize_keras_object(optimizer),
        "objective": keras.saving.serialize_keras_object(objective),
        "settings": settings,
    }


def _can_be_restored(thing):
    try:
        keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(thing))
    except (TypeError, ValueError):  # a class that no module holds, or one without its arguments
        return False
    return True


def from_compile_config(config):
    """The arguments of `Captioner.compile` from what `to_compile_config` gave."""
    return {
        "optimizer": keras.saving.deserialize_keras_object(config["optimizer"]),
        "objective": keras.saving.deserialize_keras_object(config["objective"]),
        **config["settings"],
    }
