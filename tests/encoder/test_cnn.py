import io
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_sat.config import Encoder
from keras_sat.data.quantisation import dequantise, quantise
from keras_sat.encoder.cnn import (
    Preprocessing,
    _applications,
    build_encoder,
    enlarged,
    load_encoder,
    weights_fingerprint,
)
from keras_sat.encoder.inputs import picture_inputs, random_crop, shown_picture
from keras_sat.pictures.decode import decode_image
from keras_sat.utils.errors import UserError
from tests.support.rounding import assert_close

REGIONS = np.random.default_rng(0).normal(-0.2, 1.0, [49, 256]).astype(np.float32)


@pytest.mark.parametrize("quantisation, limit", [("uint8", 0.01), ("float16", 0.001)])
def test_quantisation_error(quantisation, limit):
    for regions in (
        REGIONS,
        np.maximum(REGIONS, 0),
        1e3 * REGIONS,
        np.zeros_like(REGIONS),
        np.full_like(REGIONS, -7.5),
    ):
        values, minimum, scale = quantise(regions, quantisation)
        error = np.linalg.norm(dequantise(values, minimum, scale) - regions)
        assert error <= limit * np.linalg.norm(regions)
        assert values.dtype == quantisation


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
    assert_close(
        encoder(pixels), expected, roundings=1000
    )  # twenty convolutions: sums of 9 to 192 terms

    encoder.save(tmp_path / "encoder.keras")
    again = load_encoder(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(again(pixels), encoder(pixels))
    assert weights_fingerprint(again) == weights_fingerprint(encoder)


@pytest.mark.parametrize(
    "name, layer", [("MobileNetV2", "block_6_expand_relu"), ("EfficientNetB0", None)]
)
def test_the_same_cnn_for_larger_pictures(name, layer):
    """Equal to the CNN built at that size with the same weights."""
    encoder = build_encoder(Encoder(name, layer, "none", image_size=64))
    larger, expected = (
        enlarged(encoder, 96),
        build_encoder(Encoder(name, layer, "none", image_size=96)),
    )
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


def test_inputs_of_one_picture():
    encoded = tf.io.encode_png(
        np.random.default_rng(2).integers(0, 256, [60, 80, 3]).astype(np.uint8)
    )
    encoder, regions = (
        {"image_size": 32, "resize": "crop"},
        {"method": "edgeboxes", "most": 9, "image_size": 64},
    )
    found = picture_inputs(
        encoded, ("pixels", "region_pixels", "boxes", "scores"), encoder, regions
    )
    for name, size in (("pixels", 32), ("region_pixels", 64)):
        np.testing.assert_array_equal(found[name], decode_image(encoded, size, "crop"))
    assert found["boxes"].shape == (9, 4) and np.count_nonzero(found["boxes"].any(axis=1)) == len(
        found["scores"]
    )
    np.testing.assert_array_equal(
        picture_inputs(encoded, ("boxes",), encoder, regions)["boxes"], found["boxes"]
    )
    given = np.float32([[0.5, 0.5, 1, 1]]), np.float32([1])
    moved = picture_inputs(encoded, ("boxes",), encoder, regions, given)["boxes"]
    np.testing.assert_array_equal(moved, [[0.5, 0.5, 1, 1]] + 8 * [[0] * 4])
    with pytest.raises(UserError, match="from a file"):
        picture_inputs(encoded, ("boxes",), encoder, regions | {"method": "file"})


def test_random_crops():
    """Of a picture whose colours tell the place: how much of it they show, and where."""
    rows, columns = np.meshgrid(np.arange(160), np.arange(240), indexing="ij")
    file = io.BytesIO()
    Image.fromarray(np.stack([rows, columns, rows], axis=-1).astype(np.uint8)).save(file, "PNG")
    encoder, found = {"image_size": 64, "resize": "squash"}, []
    for seed in range(300):
        crop = random_crop(file.getvalue(), encoder, [seed, 1])
        assert crop.shape == (64, 64, 3) and crop.dtype == np.uint8
        first, last = crop[0, 0].astype(float)[:2], crop[-1, -1].astype(float)[:2]
        found.append([*first / (160, 240), *(last - first) / (160, 240) * 64 / 63])
    top, left, height, width = np.transpose(found)
    area = height * width
    assert 0.45 < area.min() < 0.6 and 0.9 < area.max() < 1.05
    assert 0.75 < (height / width).min() < 0.85 and 1.18 < (height / width).max() < 1.33
    for start, length in ((top, height), (left, width)):
        free = start[length < 0.9] / (1 - length[length < 0.9])
        assert free.min() < 0.1 and free.max() > 0.85 and 0.4 < free.mean() < 0.6
    again = [random_crop(file.getvalue(), encoder, [7, n]) for n in (1, 1, 2)]
    assert np.array_equal(again[0], again[1]) and not np.array_equal(again[1], again[2])


def test_a_turned_pictures_boxes_are_those_of_the_picture_as_it_is_seen():
    """256 × 512 pixels that EXIF turns to 512 × 256.

    Of them the crop shows y from 144 to 368 and x from 16 to 240.
    """
    tags, file = Image.Exif(), io.BytesIO()
    tags[0x0112] = 6
    Image.new("RGB", (512, 256), "red").save(file, "JPEG", exif=tags)
    given = np.float32([[144 / 512, 16 / 256, 256 / 512, 128 / 256]]), np.float32([1])
    encoder, regions = (
        {"image_size": 32, "resize": "crop"},
        {"method": "file", "most": 1, "image_size": None},
    )
    found = picture_inputs(file.getvalue(), ("boxes",), encoder, regions, given)["boxes"]
    assert_close(found, [[0, 0, 0.5, 0.5]], roundings=8)
    assert shown_picture(file.getvalue(), encoder).shape == (32, 32, 3)
    assert shown_picture(file.getvalue(), {"resize": "squash"}).shape == (512, 256, 3)


def test_an_encoder_written_by_an_earlier_version_loads():
    """Its layers were registered in other modules; the registered names are a file format."""
    encoder = load_encoder(Path(__file__).parent / "old_encoder.keras")
    kernel, bias = encoder.get_weights()  # of a 1×1 convolution over channels and coordinates
    pixels = np.random.default_rng(3).integers(0, 256, [2, 4, 6, 3]).astype(np.uint8)
    y, x = np.meshgrid(np.linspace(-1, 1, 4), np.linspace(-1, 1, 6), indexing="ij")
    places = np.broadcast_to(np.stack([y, x], axis=-1), [2, 4, 6, 2])
    expected = np.concatenate([pixels / 127.5 - 1, places], axis=-1) @ kernel[0, 0] + bias
    np.testing.assert_allclose(encoder(pixels), expected, atol=1e-5)


def test_every_cnn_of_keras_applications_has_its_preprocessing():
    assert {
        "xception",
        "vgg19",
        "resnet50",
        "mobilenetv3large",
        "efficientnetv2b0",
        "convnexttiny",
    } <= set(_applications())
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
