"""Encoders from a Keras model that somebody saved: `keras:FILE`."""

import keras

from keras_sat.encoder.trust import foreign
from keras_sat.utils.errors import UserError

PREFIX = "keras:"
# {encoder.scale: (factor, offset) from pixels of 0–255 to what the model takes}
_SCALES = {"0..255": (1.0, 0.0), "0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0)}


def read_saved_model(config):
    """The model of a `.keras` file, for pictures of the size that is asked for.

    Args:
        config: a `config.Encoder` whose name is `keras:FILE`.

    Returns:
        (the model, the layer that scales pixels to its input).

    Raises:
        UserError: the file cannot be loaded or holds code of its own, its scale is not stated, or
            the model does not take pictures of this size.
    """
    path = config.name.removeprefix(PREFIX)
    if config.scale is None:
        raise UserError(
            f"encoder.scale: what range of values does {path} take? Say --scale "
            f"{' or --scale='.join(_SCALES)}"
        )
    if config.weights not in ("imagenet", "none"):
        raise UserError(f"encoder.weights: {path} holds its own weights; leave --weights out")
    model = _load(path)
    shape = (None, config.pixels, config.pixels, 3)
    if len(model.inputs) != 1 or not model.inputs[0].shape.is_compatible_with(shape):
        found = ", ".join(str(each.shape) for each in model.inputs)
        raise UserError(
            f"encoder.image_size: {path} takes input of shape {found}, "
            f"not {shape}; set --image-size"
        )
    factor, offset = _SCALES[config.scale]
    return model, keras.layers.Rescaling(factor, offset, name="scale")


def _load(path):
    reason = foreign(path)
    if reason:
        raise UserError(
            f"{path}: {reason}, so that loading it could run any code; an encoder may only hold "
            "classes of Keras and keras_sat: replace them and save it again"
        )
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    # A damaged file also raises KeyError, TypeError, BadZipFile, …
    except Exception as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"{path}: cannot load the model ({reason}); save it again") from error
    if not model.built or not getattr(model, "inputs", None):
        raise UserError(f"{path}: its model has no fixed input; build it before saving it")
    return model
