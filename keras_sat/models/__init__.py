"""The captioners.

A new system is one file here, its settings in `keras_sat.config.SYSTEMS`, and one line in
CAPTIONERS.
"""

import keras
import tensorflow as tf

from keras_sat.models.areas import AreasCaptioner
from keras_sat.models.captioner import Captioner
from keras_sat.models.hard import HardCaptioner
from keras_sat.models.show_and_tell import ShowAndTellCaptioner
from keras_sat.models.soft import SoftCaptioner

CAPTIONERS = {
    "soft": SoftCaptioner,
    "hard": HardCaptioner,
    "show_and_tell": ShowAndTellCaptioner,
    "areas": AreasCaptioner,
}


def build_captioner(config, vocabulary_size, input_shapes, seed, cnn=None, finetune=None):
    """A captioner whose weights are drawn from the seed.

    Args:
        config: the `model` section of an experiment.
        vocabulary_size: V.
        input_shapes: {name: shape of one image's input}.
        seed: int, of the initial weights; it becomes Keras' global seed.
        cnn: see `Captioner`.
        finetune: see `Captioner`.

    Returns:
        A `Captioner` that has been built.
    """
    keras.utils.set_random_seed(seed)
    system = CAPTIONERS[config.name]
    model = system(
        config, vocabulary_size, input_shapes, cnn=cnn, finetune=finetune, name=config.name
    )
    inputs = {"captions": tf.zeros([1, 1, 2], tf.int32)}
    for name, spec in model.input_specs().items():
        inputs[name] = tf.zeros([1, *spec.shape[1:]], spec.dtype)
    model(inputs)
    return model


__all__ = ["CAPTIONERS", "Captioner", "build_captioner"]
