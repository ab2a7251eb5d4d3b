"""A model that somebody saved with Keras as the encoder."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_sat.config import Encoder
from keras_sat.encoder.cnn import build_encoder, load_encoder
from keras_sat.utils.errors import UserError
from pipeline.preparation.prepare import prepare
from tests.support.manifests import rewrite_manifest
from tests.support.settings import small_prepare

PIXELS = np.random.default_rng(1).integers(0, 256, [2, 32, 32, 3]).astype(np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A model of two convolutions and a head; the map is its second layer."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    keras.utils.set_random_seed(1)
    layers = [
        keras.layers.Conv2D(6, 4, 4, activation="relu", name="first"),
        keras.layers.Conv2D(8, 2, 2, name="map"),
        keras.layers.GlobalAveragePooling2D(name="head"),
    ]
    model = keras.Sequential([keras.Input((None, None, 3)), *layers])
    model.save(path)
    return path


def described(file, layer="map", scale="0..1", size=32, weights="imagenet"):
    return Encoder(f"keras:{file}", layer, weights, size, scale=scale)


@pytest.mark.parametrize(
    "scale, expected",
    [
        ("0..255", np.float32(PIXELS)),
        ("0..1", np.float32(PIXELS) / 255),
        ("-1..1", np.float32(PIXELS) / 127.5 - 1),
    ],
)
def test_the_encoder_gives_the_layers_output_at_its_scale(file, scale, expected, tmp_path):
    encoder = build_encoder(described(file, scale=scale))
    model = keras.models.load_model(file, compile=False)
    until_map = keras.Model(model.input, model.get_layer("map").output)
    np.testing.assert_allclose(encoder(PIXELS), until_map(expected), rtol=1e-4, atol=1e-4)
    encoder.save(tmp_path / "encoder.keras")
    again = load_encoder(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(again(PIXELS), encoder(PIXELS))


def test_a_data_set_is_prepared_with_it_and_another_model_is_noticed(file, tmp_path):
    own = tmp_path / "own.keras"
    own.write_bytes(file.read_bytes())
    config = dataclasses.replace(small_prepare(source="train=4,val=2"), encoder=described(own))
    prepare(config, tmp_path / "data")
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert manifest["encoder"]["feature_shape"] == [4, 4, 8]
    prepare(config, tmp_path / "data")  # finds it done
    model = keras.models.load_model(own, compile=False)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    model.save(own)
    with pytest.raises(UserError, match="data"):
        prepare(config, tmp_path / "data")


def test_a_data_set_that_is_older_than_the_scale_still_matches(tmp_path, capsys):
    config = small_prepare(source="train=4,val=2")
    prepare(config, tmp_path / "data")
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    del manifest["settings"]["encoder"]["scale"]
    rewrite_manifest(tmp_path / "data", settings=manifest["settings"])
    before = (tmp_path / "data" / "manifest.json").read_bytes()
    capsys.readouterr()
    prepare(config, tmp_path / "data")
    assert "already prepared" in capsys.readouterr().out
    assert (tmp_path / "data" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    "change, parts",
    [
        ({"scale": None}, ["encoder.scale", "--scale"]),
        ({"layer": "mop"}, ["encoder.layer", "mop", "did you mean map"]),
        ({"layer": "head"}, ["head", "not a feature map"]),
        ({"weights": "other.h5"}, ["encoder.weights", "--weights"]),
    ],
)
def test_mistakes_are_named(file, change, parts):
    with pytest.raises(UserError) as error:
        build_encoder(described(file, **change))
    assert all(part in str(error.value) for part in parts), error.value


def test_files_that_cannot_be_used_are_named(tmp_path):
    pixels = keras.Input((16, 16, 3))
    keras.Model(pixels, keras.layers.Lambda(lambda x: x)(pixels)).save(tmp_path / "lambda.keras")
    keras.Model(pixels, keras.layers.ReLU()(pixels)).save(tmp_path / "small.keras")
    (tmp_path / "cut.keras").write_bytes((tmp_path / "small.keras").read_bytes()[:500])
    for name, part in [
        ("lambda", "Lambda"),
        ("small", "--image-size"),
        ("cut", "no zip"),
        ("nowhere", "no such file"),
    ]:
        with pytest.raises(UserError, match=part) as error:
            build_encoder(described(tmp_path / f"{name}.keras", layer=None))
        assert name in str(error.value)
