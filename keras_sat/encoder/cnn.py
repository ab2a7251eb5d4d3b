"""The CNN: pixels → feature map.

The model that `build_encoder` returns holds its own preprocessing. Preparation, `caption` and the export all use it, so that
training and inference cannot differ.
"""

import functools
import hashlib
import importlib

import keras
import numpy as np
import tensorflow as tf

from keras_sat.encoder.scenes_cnn import build_scenes_cnn, train_scenes_cnn
from keras_sat.utils.errors import UserError, nearest


@keras.saving.register_keras_serializable(package="keras_sat")
class Preprocessing(keras.layers.Layer):
    """`preprocess_input` of a keras.applications module as a layer, so that the saved encoder holds it.

    Args:
        module: the module's name, such as `xception`.
    """

    def __init__(self, module, **kwargs):
        super().__init__(**kwargs)
        self.module = module
        self._preprocess = importlib.import_module(f"keras.applications.{module}").preprocess_input

    def call(self, pixels):
        return self._preprocess(tf.cast(pixels, tf.float32))

    def get_config(self):
        return {**super().get_config(), "module": self.module}


@functools.cache
def _applications():
    """{lower-case name: (module, constructor)} of every CNN in keras.applications."""
    found = {}
    for name, constructor in vars(keras.applications).items():
        if name[0].isupper() and callable(constructor):
            found[name.lower()] = (constructor.__module__.rsplit(".", 1)[-1], constructor)
    return found


def build_encoder(config, seed=1, layer=None):
    """The encoder that a `config.Encoder` describes.

    Args:
        layer: where to cut the CNN, instead of at `config.layer`.
    Returns:
        A keras.Model from pixels [B, size, size, 3] (0–255) to the feature map [B, h, w, D].
    Raises:
        UserError: unknown CNN or layer, weights that do not load, a layer that is no feature map.
    """
    if config.key == "scenescnn":
        cnn, preprocessing = (
            _scenes_cnn(config, seed),
            keras.layers.Activation("linear"),
        )  # the CNN has its own
    else:
        cnn, preprocessing = _application(config)
    layer = layer or config.layer or cnn.layers[-1].name
    if layer not in (names := [each.name for each in cnn.layers]):
        raise UserError(
            f"encoder.layer: {config.name} has no layer {layer!r}{nearest(layer, names)}"
        )
    feature_map = cnn.get_layer(layer).output
    if len(feature_map.shape) != 4:
        raise UserError(
            f"encoder.layer: {layer!r} of {config.name} gives shape {feature_map.shape}, not a feature map"
        )
    pixels = keras.Input((config.pixels, config.pixels, 3), name="pixels")
    cut = keras.Model(cnn.input, feature_map, name=config.key)
    return keras.Model(pixels, cut(preprocessing(pixels)), name=f"{config.key}_encoder")


def _scenes_cnn(config, seed):
    cnn = build_scenes_cnn(seed)
    if config.pixels != cnn.input_shape[1]:
        raise UserError(
            f"encoder.image_size: scenes_cnn takes {cnn.input_shape[1]} pixels, not {config.pixels}"
        )
    if config.weights == "imagenet":
        return train_scenes_cnn(seed)
    if config.weights != "none":
        try:
            cnn.load_weights(config.weights)
        except (OSError, ValueError) as error:
            raise UserError(
                f"encoder.weights: scenes_cnn does not take {config.weights!r} ({error})"
            ) from error
    return cnn


def _application(config):
    """(CNN, its preprocessing layer) of keras.applications."""
    if config.key not in _applications():
        raise UserError(
            f"encoder.name: no CNN {config.name!r} in keras.applications{nearest(config.key, _applications())}"
        )
    module, constructor = _applications()[config.key]
    weights = None if config.weights == "none" else config.weights
    keras.backend.reset_uids()  # layers without a name of their own are `add_11` in every process, not only in a fresh one
    try:
        cnn = constructor(
            include_top=False, weights=weights, input_shape=(config.pixels, config.pixels, 3)
        )
    except Exception as error:  # Keras raises OSError, ValueError, URLError, …: all of them are about these two settings
        raise UserError(
            f"encoder.weights: {config.name} at {config.pixels} pixels does not take {config.weights!r} ({error})"
        ) from error
    return cnn, Preprocessing(module, name="preprocessing")


def enlarged(encoder, image_size):
    """The same encoder, with the same weights, for pictures of another size: what is convolutional takes any.

    Raises:
        UserError: where the network is not, or not at this size.
    """

    def resized(value):
        if isinstance(value, dict):
            return {
                key: size if key == "batch_input_shape" else resized(part)
                for key, part in value.items()
            }
        return type(value)(map(resized, value)) if isinstance(value, list | tuple) else value

    size = (None, image_size, image_size, 3)
    try:
        larger = keras.Model.from_config(resized(encoder.get_config()))
        larger.set_weights(encoder.get_weights())
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"proposals.image_size: {encoder.name} does not take {image_size} pixels ({reason}); try a multiple of 32"
        ) from error
    return larger


def weights_fingerprint(encoder):
    """16 hexadecimal digits of the encoder's weights."""
    digest = hashlib.sha256()
    for weight in encoder.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]


def unfreeze(encoder, from_layer, batch_norm):
    """Lets an encoder's layers learn from one on, in Keras' order.

    Args:
        encoder: of `build_encoder`. from_layer: a layer's name. batch_norm: `frozen` or `trained`.
    Raises:
        UserError: no such layer, or layers that draw noise of their own, which no resumed run could repeat.
    """
    cnn = next(layer for layer in encoder.layers if isinstance(layer, keras.Model))
    names = [layer.name for layer in cnn.layers]
    if from_layer not in names:
        raise UserError(
            f"finetune.from_layer: {cnn.name} has no layer {from_layer!r}{nearest(from_layer, names)}"
        )
    for index, layer in enumerate(cnn.layers):
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = index >= names.index(from_layer) and not (
            normalises and batch_norm == "frozen"
        )
        if batch_norm == "trained" and isinstance(layer, keras.layers.Dropout):
            raise UserError(
                f"finetune.batch_norm: {cnn.name} has dropout ({layer.name}), so it must stay `frozen`"
            )


def load_encoder(path):
    """Reads the `encoder.keras` of a prepared data set or a run."""
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot load the encoder ({error}); prepare the data again"
        ) from error
