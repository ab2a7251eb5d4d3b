"""The initial weights of a new run: those of another run, and a filter of the CNN."""

import tempfile

import numpy as np
import tensorflow as tf

from keras_sat.encoder.cnn import build_encoder
from keras_sat.runs.run import open_run
from keras_sat.runs.soundness import check_sound
from keras_sat.utils.errors import UserError


def initialise(model, run):
    """Gives a new model the weights that the run's experiment asks for.

    Args:
        model: a `Captioner`.
        run: its `Run`.

    Raises:
        UserError: the other run does not fit, or the filter's layer is not a 3×3 convolution
            between the right sizes.
    """
    experiment = run.experiment
    other = None
    if experiment.init_from:
        other = open_run(experiment.init_from)
    layer = getattr(experiment.model, "filter_layer", None)
    if layer and not (other and _has_transformer(other)):
        _load_filter(model.areas, layer, run)
    if other:
        _load_weights(model, run, other)


def _has_transformer(run):
    return getattr(run.experiment.model, "areas", None) == "transformer"


def _load_weights(model, run, other):
    """Loads all weights of the other run.

    Each of them must exist in the model. The model may have more (a transformer, a CNN, a
    baseline).
    """
    if other.facts.vocabulary != run.facts.vocabulary:
        raise UserError(
            f"init_from: {other.folder} has another vocabulary than {run.folder}; "
            "train both on the same data set"
        )
    if _other_cnn(run.facts.encoder, other.facts.encoder):
        raise UserError(
            f"init_from: {other.folder} saw its pictures through another CNN "
            f"({other.facts.encoder['name']}) than {run.folder}"
        )
    path = other.checkpoint()
    check_sound(path)
    with tempfile.TemporaryDirectory() as folder:
        here = _shapes(tf.train.Checkpoint(model=model).write(f"{folder}/model"))
    for name, shape in _shapes(path).items():
        if here.get(name) != shape:
            found = f"{here[name]} here" if name in here else "missing here"
            raise UserError(
                f"init_from: {other.folder} does not fit: its {name} has shape {shape}, {found}"
            )
    tf.train.Checkpoint(model=model).restore(path).expect_partial()


def _other_cnn(encoder, other):
    """Whether two encoders (sections of the manifest) differ in their CNN or in its weights."""
    if encoder["name"] != other["name"]:
        return True
    return encoder["layer"] == other["layer"] and encoder["weights"] != other["weights"]


def _shapes(path):
    """{weight: shape} of the model in a checkpoint."""
    prefix = "model/"
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    shapes = {}
    for name, shape in tf.train.list_variables(path):
        if name.startswith(prefix) and name.endswith(suffix):
            shapes[name.removeprefix(prefix).removesuffix(suffix)] = shape
    return shapes


def _load_filter(transformer, layer, run):
    settings = run.experiment.prepare
    name = run.facts.encoder["name"]
    if settings.encoder.name != name:
        raise UserError(
            f"model.filter_layer: prepare.encoder names {settings.encoder.name}, "
            f"but the data set was made with {name}; make them agree"
        )
    encoder = build_encoder(settings.encoder, settings.seed, layer=layer)
    weights = encoder.layers[-1].get_layer(layer).get_weights()
    kernel, *bias = weights or [np.zeros([])]
    if kernel.shape != transformer.filter.shape:
        raise UserError(
            f"model.filter_layer: {layer} has a kernel of shape {kernel.shape}, "
            f"the transformer's filter {tuple(transformer.filter.shape)}"
        )
    transformer.filter.assign(kernel)
    if bias:
        transformer.filter_bias.assign(bias[0])
