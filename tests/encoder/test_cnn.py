from pathlib import Path

import keras
import numpy as np
import pytest

from keras_sat.config import Encoder
from keras_sat.encoder.cnn import (
    Preprocessing,
    _applications,
    build_encoder,
    enlarged,
    load_encoder,
    weights_fingerprint,
)
from keras_sat.utils.errors import UserError
from tests.support.rounding import assert_close


def test_a_cnn_by_name_layer_and_weights_file(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, [2, 64, 64, 3]).astype(np.uint8)
    cnn = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(64, 64, 3))
    cnn.save_weights(tmp_path / "weights.h5")
    layer = "block_6_expand_relu"
    encoder = build_encoder(
        Encoder("mobilenet_v2", layer, str(tmp_path / "weights.h5"), image_size=64)
    )
    inputs = keras.applications.mobilenet_v2.preprocess_input(pixels.astype(np.float32))
    expected = keras.Model(cnn.input, cnn.get_layer(layer).output)(inputs)
    # Roundings: twenty convolutions, sums of 9 to 192 terms.
    assert_close(encoder(pixels), expected, roundings=1000)

    encoder.save(tmp_path / "encoder.keras")
    again = load_encoder(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(again(pixels), encoder(pixels))
    assert weights_fingerprint(again) == weights_fingerprint(encoder)


@pytest.mark.parametrize(
    "name, layer", [("MobileNetV2", "block_6_expand_relu"), ("EfficientNetB0", None)]
)
def test_the_same_cnn_for_larger_pictures(name, layer):
    """The enlarged CNN equals one built at that size with the same weights."""
    encoder = build_encoder(Encoder(name, layer, "none", image_size=64))
    larger = enlarged(encoder, 96)
    expected = build_encoder(Encoder(name, layer, "none", image_size=96))
    expected.set_weights(encoder.get_weights())
    pixels = np.random.default_rng(1).integers(0, 256, [1, 96, 96, 3]).astype(np.uint8)
    np.testing.assert_array_equal(larger(pixels), expected(pixels))
    assert weights_fingerprint(larger) == weights_fingerprint(encoder)


def test_a_cnn_that_does_not_take_the_size_is_named():
    pixels = keras.Input((8, 8, 3))
    rigid = keras.Model(pixels, keras.layers.Reshape((4, 4, 12))(pixels), name="rigid")
    with pytest.raises(
        UserError, match=r"proposals.image_size: rigid does not take 16 pixels .*multiple of 32"
    ):
        enlarged(rigid, 16)


def test_an_encoder_written_by_an_earlier_version_loads():
    """Its layers were registered in other modules; the registered names are a file format."""
    encoder = load_encoder(Path(__file__).parent / "old_encoder.keras")
    kernel, bias = encoder.get_weights()  # of a 1×1 convolution over channels and coordinates
    pixels = np.random.default_rng(3).integers(0, 256, [2, 4, 6, 3]).astype(np.uint8)
    y, x = np.meshgrid(np.linspace(-1, 1, 4), np.linspace(-1, 1, 6), indexing="ij")
    places = np.broadcast_to(np.stack([y, x], axis=-1), [2, 4, 6, 2])
    expected = np.concatenate([pixels / 127.5 - 1, places], axis=-1) @ kernel[0, 0] + bias
    assert_close(encoder(pixels), expected, roundings=16)


def test_every_cnn_of_keras_applications_has_its_preprocessing():
    some = {"xception", "vgg19", "resnet50", "mobilenetv3large", "efficientnetv2b0", "convnexttiny"}
    assert some <= set(_applications())
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


def test_the_seed_decides_untrained_weights():
    """As in two processes: what was drawn before does not matter."""
    settings = Encoder("MobileNetV2", "block_6_expand_relu", "none", image_size=64)
    fingerprints = []
    for before, seed in ((1, 5), (2, 5), (3, 6)):
        keras.utils.set_random_seed(before)
        fingerprints.append(weights_fingerprint(build_encoder(settings, seed)))
    first, again, other = fingerprints
    assert first == again != other
