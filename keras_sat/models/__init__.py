"""The captioners. Adding a system: one file here, its section in config.SYSTEMS, one line in CAPTIONERS."""

import keras
import tensorflow as tf

from keras_sat.models.captioner import Captioner
from keras_sat.models.soft import SoftCaptioner

CAPTIONERS = {"soft": SoftCaptioner}


def build_captioner(config, vocabulary_size, feature_shape, seed):
    """A captioner with its weights drawn from the seed.

    Args:
        config: the `model` section of an experiment. vocabulary_size: V. feature_shape: (h, w, D).
    """
    keras.utils.set_random_seed(seed)
    model = CAPTIONERS[config.name](config, vocabulary_size, feature_shape, name=config.name)
    model({"features": tf.zeros([1, *feature_shape]), "captions": tf.zeros([1, 1, 2], tf.int32)})
    return model


__all__ = ["CAPTIONERS", "Captioner", "build_captioner"]
