"""The CNN: pixels → feature map.

The model that `build_encoder` returns holds its own preprocessing. Preparation, captioning and the
export all use that model, so that training and inference cannot differ.
"""

import functools
import hashlib
import importlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

# Importing these also registers their layers, which `load_encoder` needs.
from keras_sat.encoder import checkpoint, hugging_face, saved
from keras_sat.encoder.scenes_cnn import build_scenes_cnn, train_scenes_cnn
from keras_sat.encoder.trust import check_trusted
from keras_sat.pictures.boxes import fingerprint
from keras_sat.utils.errors import UserError, nearest

OTHER_ENCODER = "restore the encoder that the features were made with"  # the way out


@keras.saving.register_keras_serializable(package="keras_sat")
class Preprocessing(keras.layers.Layer):
    """`preprocess_input` of a keras.applications module as a layer: a saved encoder holds it.

    Args:
        module: the module's name, such as `xception`.
    """

    def __init__(self, module, **kwargs):
        super().__init__(**kwargs)
        if not module.isidentifier():
            raise ValueError(f"no module of keras.applications: {module!r}")
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
            module = constructor.__module__.rsplit(".", 1)[-1]
            found[name.lower()] = (module, constructor)
    return found


def build_encoder(config, seed=1, layer=None):
    """The encoder that a `config.Encoder` describes.

    Args:
        config: a `config.Encoder`.
        seed: int, decides the initial weights where none are read.
        layer: the layer whose output is the feature map, in place of `config.layer`.
    Returns:
        A keras.Model from pixels [B, size, size, 3] (0–255) to the feature map [B, h, w, D].
    Raises:
        UserError: unknown CNN or layer, weights that do not load, a layer that is no feature map.
    """
    layer = layer or config.layer
    key = config.key
    if config.name.startswith(checkpoint.PREFIX):
        tower, preprocessing = hugging_face.build_tower(config.name, config.pixels, layer)
        return _with_preprocessing(preprocessing, tower, config.pixels)
    if config.name.startswith(saved.PREFIX):
        cnn, preprocessing = saved.read_saved_model(config)
        key = "saved"  # a path is no name of a model
    elif config.key == "scenescnn":
        cnn = _scenes_cnn(config, seed)
        preprocessing = keras.layers.Activation("linear")  # the CNN holds its own
    else:
        cnn, preprocessing = _application(config, seed)
    layer = layer or cnn.layers[-1].name
    names = [each.name for each in cnn.layers]
    if layer not in names:
        raise UserError(
            f"encoder.layer: {config.name} has no layer {layer!r}{nearest(layer, names)}"
        )
    feature_map = cnn.get_layer(layer).output
    if len(feature_map.shape) != 4:
        raise UserError(
            f"encoder.layer: {layer!r} of {config.name} gives shape {feature_map.shape}, "
            "not a feature map"
        )
    trunk = keras.Model(cnn.input, feature_map, name=key)
    return _with_preprocessing(preprocessing, trunk, config.pixels)


def files_fingerprints(config):
    """What identifies the files that an encoder is made of, {key of the manifest: fingerprint}.

    Args:
        config: a `config.Encoder`.
    """
    if config.name.startswith(checkpoint.PREFIX):
        return {"weights": checkpoint.fingerprint(config.name)}
    if config.name.startswith(saved.PREFIX):
        return {"model": fingerprint(config.name.removeprefix(saved.PREFIX))}
    if Path(config.weights).is_file():
        return {"weights": fingerprint(config.weights)}
    return {}


def _with_preprocessing(preprocessing, trunk, size):
    """The encoder for pictures of size × size pixels: the preprocessing layer, then the trunk."""
    pixels = keras.Input((size, size, 3), name="pixels")
    return keras.Model(pixels, trunk(preprocessing(pixels)), name=f"{trunk.name}_encoder")


def _scenes_cnn(config, seed):
    cnn = build_scenes_cnn(seed)
    size = cnn.input_shape[1]
    if config.pixels != size:
        raise UserError(f"encoder.image_size: scenes_cnn takes {size} pixels, not {config.pixels}")
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


def _application(config, seed):
    """(CNN of keras.applications, its preprocessing layer)."""
    if config.key not in _applications():
        known = nearest(config.key, _applications())
        raise UserError(f"encoder.name: no CNN {config.name!r} in keras.applications{known}")
    module, constructor = _applications()[config.key]
    weights = None if config.weights == "none" else config.weights
    # A layer without a name of its own is then `add_11` in every process, not only in a fresh one.
    keras.backend.reset_uids()
    if weights is None:
        # keras.applications take no seed: their initializers draw from the process' generators.
        keras.utils.set_random_seed(seed % (1 << 32))
    try:
        cnn = constructor(
            include_top=False, weights=weights, input_shape=(config.pixels, config.pixels, 3)
        )
    # Keras raises OSError, ValueError, URLError, …, all of them because of these two settings.
    except Exception as error:
        way_out = ""
        if config.weights == "imagenet":
            way_out = (
                "; where there is no network, copy the file (…_notop.h5) here and name it: "
                "--weights FILE"
            )
        raise UserError(
            f"encoder.weights: {config.name} at {config.pixels} pixels does not take "
            f"{config.weights!r} ({error}){way_out}"
        ) from error
    return cnn, Preprocessing(module, name="preprocessing")


def enlarged(encoder, image_size):
    """The encoder with the same weights for pictures of another size.

    Args:
        encoder: a model of `build_encoder`.
        image_size: height and width of the pictures in pixels.
    Raises:
        UserError: the network is not convolutional throughout, or does not take this size.
    """
    shape = (None, image_size, image_size, 3)
    try:
        larger = keras.Model.from_config(_with_input_shape(encoder.get_config(), shape))
        larger.set_weights(encoder.get_weights())
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"proposals.image_size: {encoder.name} does not take {image_size} pixels ({reason}); "
            "try a multiple of 32"
        ) from error
    return larger


def _with_input_shape(config, shape):
    """A model's configuration with another shape at all its input layers."""
    if isinstance(config, dict):
        changed = {}
        for key, value in config.items():
            is_shape = key == "batch_input_shape"
            changed[key] = shape if is_shape else _with_input_shape(value, shape)
        return changed
    if isinstance(config, list | tuple):
        return type(config)(_with_input_shape(value, shape) for value in config)
    return config


def weights_fingerprint(encoder):
    """16 hexadecimal digits that identify the encoder's weights."""
    digest = hashlib.sha256()
    for weight in encoder.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]


def unfreeze(encoder, from_layer, batch_norm):
    """Makes an encoder's layers trainable from one layer on, in Keras' order.

    Args:
        encoder: a model of `build_encoder`.
        from_layer: the name of the first trainable layer.
        batch_norm: `frozen` or `trained`.
    Raises:
        UserError: no such layer, or layers that draw noise of their own, which a resumed run could
            not repeat.
    """
    cnn = next(layer for layer in encoder.layers if isinstance(layer, keras.Model))
    names = [layer.name for layer in cnn.layers]
    if from_layer not in names:
        raise UserError(
            f"finetune.from_layer: {cnn.name} has no layer {from_layer!r}"
            f"{nearest(from_layer, names)}"
        )
    first = names.index(from_layer)
    for index, layer in enumerate(cnn.layers):
        is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        stays_frozen = is_batch_norm and batch_norm == "frozen"
        layer.trainable = index >= first and not stays_frozen
        if batch_norm == "trained" and isinstance(layer, keras.layers.Dropout):
            raise UserError(
                f"finetune.batch_norm: {cnn.name} has dropout ({layer.name}), so it must stay "
                "`frozen`"
            )


def load_encoder(path, trusted=False):
    """Reads the `encoder.keras` of a prepared data set or a run.

    Args:
        path: the file's.
        trusted: whether it may run code of its own, see `keras_sat.encoder.trust`.
    Raises:
        UserError: it cannot be loaded, or is not trusted.
    """
    check_trusted(path, trusted)
    try:
        return keras.models.load_model(path, compile=False, safe_mode=not trusted)
    # A damaged file also raises KeyError, TypeError, BadZipFile, …
    except Exception as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(
            f"{path}: cannot load the encoder ({reason}); prepare the data again"
        ) from error


def recorded_encoder(path, weights, trusted=False):
    """Loads the encoder that is recorded for a run or a data set.

    Args:
        path: of its `encoder.keras`.
        weights: the recorded fingerprint of its weights.
        trusted: see `load_encoder`.
    Raises:
        UserError: as `load_encoder`; it has other weights.
    """
    encoder = load_encoder(path, trusted)
    found = weights_fingerprint(encoder)
    if found != weights:
        raise UserError(
            f"{path}: its weights have the fingerprint {found}, but {weights} is recorded; "
            f"{OTHER_ENCODER}"
        )
    return encoder
