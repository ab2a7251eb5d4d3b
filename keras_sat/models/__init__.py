"""The captioners. Adding a system: one file here, its section in config.SYSTEMS, one line in CAPTIONERS."""

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
    """A captioner with its weights drawn from the seed.

    Args:
        config: the `model` section of an experiment. The others as for `Captioner`.
    """
    keras.utils.set_random_seed(seed)
    kwargs = {"cnn": cnn, "finetune": finetune, "name": config.name}
    model = CAPTIONERS[config.name](config, vocabulary_size, input_shapes, **kwargs)
    empty = {
        name: tf.zeros([1, *spec.shape[1:]], spec.dtype)
        for name, spec in model.input_specs().items()
    }
    model({**empty, "captions": tf.zeros([1, 1, 2], tf.int32)})
    return model


__all__ = ["CAPTIONERS", "Captioner", "build_captioner"]
