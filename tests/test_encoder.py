import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sat.config import Encoder
from keras_sat.encoder import build_encoder, decode_image, dequantise, load_encoder, quantise, weights_fingerprint
from keras_sat.errors import UserError

REGIONS = np.random.default_rng(0).normal(-0.2, 1.0, [49, 256]).astype(np.float32)
GRADIENT = np.arange(64 * 96 * 3, dtype=np.uint32).reshape(64, 96, 3).astype(np.uint8)


@pytest.mark.parametrize("quantisation, limit", [("uint8", 0.01), ("float16", 0.001)])
def test_quantisation_error(quantisation, limit):
    for regions in (REGIONS, np.maximum(REGIONS, 0), 1e3 * REGIONS, np.zeros_like(REGIONS), np.full_like(REGIONS, -7.5)):
        values, minimum, scale = quantise(regions, quantisation)
        error = np.linalg.norm(dequantise(values, minimum, scale) - regions)
        assert error <= limit * np.linalg.norm(regions)
        assert values.dtype == quantisation


def test_a_picture_of_the_right_size_is_not_touched():
    square = GRADIENT[:, :64]
    png = tf.io.encode_png(square)
    np.testing.assert_array_equal(decode_image(png, 64), square)


def test_crop_takes_the_centre():
    picture = np.zeros([256, 512, 3], np.uint8)
    picture[:, 128:384] = 255  # the middle, which is all that the crop may show
    cropped = decode_image(tf.io.encode_png(picture), 224, "crop").numpy()
    assert cropped.shape == (224, 224, 3) and cropped.min() == 255
    squashed = decode_image(tf.io.encode_png(picture), 224, "squash").numpy()
    assert squashed[:, 0].max() == 0


@pytest.mark.parametrize("encode", [tf.io.encode_png, tf.io.encode_jpeg])
def test_grey_pictures_get_three_channels(encode):
    grey = decode_image(encode(GRADIENT[..., :1]), 32).numpy()
    assert grey.shape == (32, 32, 3) and np.ptp(grey, axis=-1).max() == 0


def test_what_is_no_picture_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(b"text", 32)


def test_a_cnn_by_name_layer_and_weights_file(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, [2, 64, 64, 3]).astype(np.uint8)
    cnn = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(64, 64, 3))
    cnn.save_weights(tmp_path / "weights.h5")
    layer = "block_6_expand_relu"
    encoder = build_encoder(Encoder("mobilenet_v2", layer, str(tmp_path / "weights.h5"), image_size=64))
    inputs = keras.applications.mobilenet_v2.preprocess_input(pixels.astype(np.float32))
    expected = keras.Model(cnn.input, cnn.get_layer(layer).output)(inputs)
    np.testing.assert_allclose(encoder(pixels), expected, atol=1e-5)

    encoder.save(tmp_path / "encoder.keras")
    again = load_encoder(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(again(pixels), encoder(pixels))
    assert weights_fingerprint(again) == weights_fingerprint(encoder)


def test_every_cnn_of_keras_applications_has_its_preprocessing():
    from keras_sat.encoder import Preprocessing, _applications

    assert {"xception", "vgg19", "resnet50", "mobilenetv3large", "efficientnetv2b0", "convnexttiny"} <= set(_applications())
    for module, _ in _applications().values():
        Preprocessing(module)


@pytest.mark.parametrize(
    "encoder, parts",
    [
        (Encoder("Xceptoin"), ["Xceptoin", "xception"]),
        (Encoder("MobileNetV2", "blok_6", "none", 64), ["blok_6", "did you mean block_"]),
        (Encoder("MobileNetV2", None, "/nowhere.h5", 64), ["/nowhere.h5", "weights"]),
        (Encoder("MobileNetV2", None, "none", 7), ["7 pixels"]),
        (Encoder("scenes_cnn", "nope", "none"), ["encoder.layer", "nope"]),
        (Encoder("scenes_cnn", None, "/nowhere.h5"), ["/nowhere.h5"]),
        (Encoder("scenes_cnn", None, "none", 64), ["128", "64"]),
    ],
)
def test_mistakes_are_named(encoder, parts):
    with pytest.raises(UserError) as error:
        build_encoder(encoder)
    assert all(part in str(error.value) for part in parts), error.value
