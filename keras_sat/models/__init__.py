"""The captioners.

A new system is one file here, its settings in `keras_sat.config.SYSTEMS`, and one line in
CAPTIONERS.
"""

import keras

from keras_sat.config import SYSTEMS, Experiment, FineTuning
from keras_sat.config.reader import build as read_section
from keras_sat.data.prepared import PreparedData, open_prepared
from keras_sat.models.areas import AreasCaptioner
from keras_sat.models.captioner import Captioner
from keras_sat.models.hard import HardCaptioner
from keras_sat.models.show_and_tell import ShowAndTellCaptioner
from keras_sat.models.soft import SoftCaptioner
from keras_sat.models.transformer import TransformerCaptioner
from keras_sat.utils.errors import UserError, nearest

CAPTIONERS = {
    "soft": SoftCaptioner,
    "hard": HardCaptioner,
    "show_and_tell": ShowAndTellCaptioner,
    "areas": AreasCaptioner,
    "transformer": TransformerCaptioner,
}


def build(
    system,
    data=None,
    *,
    vocabulary_size=None,
    input_shapes=None,
    seed=1,
    cnn=None,
    finetune=None,
    max_length=40,
    **settings,
):
    """A captioner for Keras' `compile` and `fit`, with new weights.

    Args:
        system: soft, hard, show_and_tell, areas or transformer.
        data: the folder of a prepared data set, or a `PreparedData`, which has the next two.
        vocabulary_size: V.
        input_shapes: {name: shape of one image's input}.
        seed: int, of the initial weights; it becomes Keras' global seed.
        cnn: see `Captioner`.
        finetune: see `Captioner`.
        max_length: see `Captioner`.
        **settings: those of the system, see `keras_sat.config.systems`; such as `state_size`.

    Returns:
        A `Captioner` that has been built.

    Raises:
        UserError: unknown system or setting, a value out of range, no such data set, or neither
            data nor sizes.
    """
    if system not in SYSTEMS:
        raise UserError(f"build: unknown system {system!r}{nearest(system, SYSTEMS)}")
    config = read_section(SYSTEMS[system], {**settings, "name": system}, "build")
    if getattr(config, "filter_layer", None):
        raise UserError(
            "build: filter_layer names a layer of a run's encoder; train by `keras-sat train`"
        )
    if cnn is not None and finetune is None:
        finetune = FineTuning()
    if data is not None:
        data = data if isinstance(data, PreparedData) else open_prepared(data)
        vocabulary_size = vocabulary_size or data.manifest["vocabulary"]["size"]
        input_shapes = input_shapes or _shapes(config, data, cnn)
    if not vocabulary_size or not input_shapes:
        raise UserError(
            "build: name a prepared data set, or give vocabulary_size and input_shapes, "
            'such as {"features": (7, 7, 2048)}'
        )
    return build_captioner(
        config, vocabulary_size, input_shapes, seed, cnn, finetune, max_length=max_length
    )


def _shapes(config, data, cnn):
    """{name: shape} of what a captioner reads of the data."""
    finetune = FineTuning(from_layer=cnn.name if cnn else None)
    names = Experiment(model=config, finetune=finetune).model_inputs(data.input_shapes)
    data.check_inputs(names)
    return {name: data.input_shapes[name] for name in names}


def build_captioner(config, vocabulary_size, input_shapes, seed, cnn=None, finetune=None, **kwargs):
    """A captioner whose weights are drawn from the seed.

    Args:
        config: the `model` section of an experiment.
        vocabulary_size: V.
        input_shapes: {name: shape of one image's input}.
        seed: int, of the initial weights; it becomes Keras' global seed.
        cnn: see `Captioner`.
        finetune: see `Captioner`.
        **kwargs: further arguments of `Captioner`.

    Returns:
        A `Captioner` that has been built.
    """
    keras.utils.set_random_seed(seed)
    system = CAPTIONERS[config.name]
    model = system(
        config,
        vocabulary_size,
        input_shapes,
        cnn=cnn,
        finetune=finetune,
        name=config.name,
        **kwargs,
    )
    model.make_weights()
    return model


__all__ = ["CAPTIONERS", "Captioner", "build", "build_captioner"]
