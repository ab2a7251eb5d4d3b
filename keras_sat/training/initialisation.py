"""What a new run starts from, beside the seed: the weights of another run, and the filter of a CNN's layer."""

import tempfile

import numpy as np
import tensorflow as tf

from keras_sat.encoder.cnn import build_encoder
from keras_sat.runs.run import open_run
from keras_sat.utils.errors import UserError


def initialise(model, run):
    """Gives a new model the weights that the run's experiment asks for.

    Raises:
        UserError: the other run does not fit, or the filter's layer is no 3×3 convolution between the right sizes.
    """
    experiment = run.experiment
    other = open_run(experiment.init_from) if experiment.init_from else None
    layer = getattr(experiment.model, "filter_layer", None)
    if layer and getattr(other and other.experiment.model, "areas", None) != "transformer":
        _load_filter(model.areas, layer, run)
    if other:
        _start_from(model, run, other)


def _start_from(model, run, other):
    """All weights of the other run must find their place; the model may have more (a transformer, a CNN, a baseline)."""
    if other.facts["vocabulary"] != run.facts["vocabulary"]:
        raise UserError(
            f"init_from: {other.folder} has another vocabulary than {run.folder}; train both on the same data set"
        )
    mine, its = run.facts["encoder"], other.facts["encoder"]
    if mine["name"] != its["name"] or (
        mine["layer"] == its["layer"] and mine["weights"] != its["weights"]
    ):
        raise UserError(
            f"init_from: {other.folder} saw its pictures through another CNN ({its['name']}) than {run.folder}"
        )
    path = other.checkpoint()
    with tempfile.TemporaryDirectory() as folder:
        mine = _shapes(tf.train.Checkpoint(model=model).write(f"{folder}/model"))
    for name, shape in _shapes(path).items():
        if mine.get(name) != shape:
            here = f"{mine[name]} here" if name in mine else "missing here"
            raise UserError(
                f"init_from: {other.folder} does not fit: its {name} has shape {shape}, {here}"
            )
    tf.train.Checkpoint(model=model).restore(path).expect_partial()


def _shapes(path):
    """{weight: shape} of the model in a checkpoint."""
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    return {
        name.removeprefix("model/").removesuffix(suffix): shape
        for name, shape in tf.train.list_variables(path)
        if name.startswith("model/") and name.endswith(suffix)
    }


def _load_filter(transformer, layer, run):
    settings = run.experiment.prepare
    if settings.encoder.name != run.facts["encoder"]["name"]:
        raise UserError(
            f"model.filter_layer: prepare.encoder names {settings.encoder.name}, but the data set was made with "
            f"{run.facts['encoder']['name']}; make them agree"
        )
    weights = (
        build_encoder(settings.encoder, settings.seed, layer=layer)
        .layers[-1]
        .get_layer(layer)
        .get_weights()
    )
    kernel, *bias = weights or [np.zeros([])]
    if kernel.shape != transformer.filter.shape:
        raise UserError(
            f"model.filter_layer: {layer} has a kernel of shape {kernel.shape}, the transformer's filter "
            f"{tuple(transformer.filter.shape)}"
        )
    transformer.filter.assign(kernel)
    if bias:
        transformer.filter_bias.assign(bias[0])
