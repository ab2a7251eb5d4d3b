"""The CNN: pixels → annotations, and the quantised form in which annotations are stored.

Preparation, `caption` and the export all go through `keras_sat.pictures.decode` and the model that `build_encoder` returns, which
holds its own preprocessing, so that training and inference cannot differ.
"""

import functools
import hashlib
import importlib

import keras
import numpy as np
import tensorflow as tf

from keras_sat.pictures import proposals
from keras_sat.pictures.decode import decode_image, decode_picture, fit
from keras_sat.utils.errors import UserError, nearest


def shown_picture(encoded, encoder):
    """The picture on which boxes are to be drawn: as a whole where the CNN saw it squashed, else the crop that it saw.

    Args:
        encoded: scalar string tensor or bytes. encoder: the manifest's section.
    Returns:
        uint8 [H, W, 3], RGB.
    """
    if encoder["resize"] == "crop":
        return decode_image(encoded, encoder["image_size"], "crop").numpy()
    return decode_picture(encoded).numpy()


# A captioner's inputs that the CNN makes, and what it makes them of.
PICTURES = {"features": "pixels", "region_features": "region_pixels"}


def picture_sizes(encoder, regions=None):
    """{name: height and width in pixels} of what the CNN sees of a picture; arguments as those of `picture_inputs`."""
    larger = {"region_pixels": regions["image_size"]} if regions and regions["image_size"] else {}
    return {"pixels": encoder["image_size"], **larger}


def picture_inputs(encoded, names, encoder, regions=None, given=None):
    """One encoded picture as what a captioner's inputs are made of.

    Args:
        encoded: scalar string tensor or bytes.
        names: of `pixels` (uint8 [S, S, 3]), `region_pixels` (uint8 [S', S', 3], the larger picture), `boxes` (float32
            [most, 4], padded with zeros) and `scores` (float32 [m], of the boxes that are no padding).
        encoder, regions: the sections `encoder` and `proposals` of the manifest.
        given: (boxes, scores) of the whole picture from a file, in place of those that would be sought.
    Returns:
        {name: NumPy array}.
    Raises:
        tf.errors.InvalidArgumentError: where the bytes are no picture. UserError: no boxes given where none are sought.
    """
    sizes = picture_sizes(encoder, regions)
    shown = list(sizes)[
        -1
    ]  # the larger picture, where there is one, is the one on which boxes are sought
    wanted = {name for name in sizes if name in names} | (
        {shown} if "boxes" in names and not given else set()
    )
    found = {name: decode_image(encoded, sizes[name], encoder["resize"]).numpy() for name in wanted}
    if "boxes" in names:
        if given:
            boxes, scores = given
            if encoder["resize"] == "crop":
                height, width, _ = decode_picture(encoded).shape
                boxes, scores = proposals.cropped(boxes, scores, height, width)
        elif regions["method"] == "file":
            raise UserError(
                "its captioner was trained on boxes from a file and needs such boxes for this picture too"
            )
        else:
            boxes, scores = proposals.propose(found[shown], regions["method"], regions["most"])
        found |= {"boxes": proposals.pad_boxes(boxes, regions["most"]), "scores": scores}
    return {name: found[name] for name in names}


_LEAST_CROP = 0.5  # of the picture's area
_STRETCH = 1.25  # the most by which the ratio of its sides is changed


def random_crop(encoded, encoder, seed):
    """A random cut-out of an encoded picture, as the CNN takes a picture: uint8 [S, S, 3]. Equal seeds, equal places.

    Args:
        encoded: bytes. encoder: as in `picture_inputs`. seed: of `numpy.random.default_rng`.
    """
    draw, pixels = np.random.default_rng(seed), decode_picture(encoded).numpy()
    area, stretch = draw.uniform(_LEAST_CROP, 1), _STRETCH ** draw.uniform(-1, 1)
    shape = np.array(pixels.shape[:2])
    size = np.maximum(1, np.minimum(1, np.sqrt([area * stretch, area / stretch])) * shape).astype(
        int
    )
    top, left = draw.integers(0, shape - size, endpoint=True)
    cut = pixels[top : top + size[0], left : left + size[1]]
    return fit(cut, encoder["image_size"], encoder["resize"]).numpy()


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
    from keras_sat.encoder.scenes_cnn import build_scenes_cnn, train_scenes_cnn

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


def quantise(regions, quantisation):
    """Annotations in the form in which they are stored.

    Args:
        regions: float32 [..., L, D].
        quantisation: `uint8` (a minimum and a scale a region) or `float16`.
    Returns:
        (values, minimum, scale), tensors: uint8 [..., L, D], float32 [..., L], float32 [..., L]; or float16 [..., L, D],
        None, None.
    """
    if quantisation == "float16":
        return tf.cast(regions, tf.float16), None, None
    minimum = tf.reduce_min(regions, axis=-1)
    scale = (tf.reduce_max(regions, axis=-1) - minimum) / 255
    steps = (regions - minimum[..., None]) / tf.where(scale > 0, scale, 1)[..., None]
    return tf.cast(tf.round(steps), tf.uint8), minimum, scale


def dequantise(values, minimum=None, scale=None):
    """The float32 annotations [..., L, D] of what `quantise` returned, as NumPy arrays or tensors."""
    values = tf.cast(values, tf.float32)
    return values if minimum is None else values * scale[..., None] + minimum[..., None]


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
    from keras_sat.encoder import scenes_cnn  # noqa: F401  registers its layers

    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot load the encoder ({error}); prepare the data again"
        ) from error
