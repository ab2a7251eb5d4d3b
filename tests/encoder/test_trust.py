"""Foreign files under the name encoder.keras, each of which Keras would run or read."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from keras_sat.config import Encoder
from keras_sat.encoder.cnn import build_encoder, load_encoder
from keras_sat.encoder.trust import check_trusted, foreign
from keras_sat.utils.errors import UserError

OLD = Path(__file__).parent / "old_encoder.keras"


def with_config(target, change):
    """Writes the old encoder with a changed configuration."""
    with zipfile.ZipFile(OLD) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config)
            new.writestr(name, content)
    return target


def refused(path):
    with pytest.raises(UserError, match=rf"{path.name}: .*--trust-encoder") as error:
        load_encoder(path)
    return str(error.value)


def convolution(config):
    """The part of the old encoder's configuration that describes its convolution."""
    return config["config"]["layers"][2]["config"]["layers"][2]


def harmful(**described):
    """A change of a configuration: the convolution becomes another object."""

    def change(config):
        convolution(config).update(described)

    return change


def in_convolution(key, value):
    def change(config):
        convolution(config)["config"][key] = value

    return change


EXEC = {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "exec"}
SYSTEM = EXEC | {"module": "keras.src.utils.io_utils", "config": "sys.exit"}
OP = {"module": "keras.src.layers.core.tf_op_layer", "registered_name": "TFOpLambda"}


@pytest.mark.parametrize(
    "change",
    [
        in_convolution("activation", EXEC),
        in_convolution("activation", SYSTEM),
        in_convolution("activation", {"class_name": "__lambda__", "config": {"value": "…"}}),
        in_convolution("kernel_initializer", {"class_name": "Lambda", "config": {}}),
        harmful(class_name="Lambda"),
        harmful(class_name="StringLookup"),
        harmful(module="tests.encoder.test_trust", class_name="Conv2D"),
        harmful(module="keras.src.layers", class_name="Conv2D"),
        harmful(module=None),
        harmful(registered_name="Custom>Other"),
        harmful(module="keras_sat.utils.version", class_name="subprocess.run"),
        harmful(module="keras_sat_evil", class_name="A", registered_name="keras_sat>A"),
        harmful(class_name="TFOpLambda", config={"function": "io.write_file"}, **OP),
        harmful(class_name=["Lambda"]),
        harmful(class_name="function", config=["exec"], module="builtins"),
    ],
)
def test_only_known_classes_are_loaded(change, tmp_path):
    assert "it names" in refused(with_config(tmp_path / "encoder.keras", change))


@pytest.mark.parametrize("module", ["os", "xception.os", "..os", 5])
def test_preprocessing_imports_modules_of_keras_applications_alone(module, tmp_path):
    def change(config):
        config["config"]["layers"][1]["config"]["module"] = module

    with_config(tmp_path / "encoder.keras", change)
    with pytest.raises(UserError, match="cannot load the encoder"):
        load_encoder(tmp_path / "encoder.keras")


def test_hdf5_under_the_name_is_refused_and_runs_only_when_trusted(tmp_path):
    pixels = keras.Input((4, 4, 3))
    model = keras.Model(pixels, keras.layers.Lambda(lambda x: x * 2)(pixels))
    model.save(tmp_path / "model.h5", save_format="h5")
    (tmp_path / "model.h5").rename(tmp_path / "encoder.keras")
    assert "no zip" in refused(tmp_path / "encoder.keras")
    trusted = load_encoder(tmp_path / "encoder.keras", trusted=True)
    assert float(trusted(tf.ones([1, 4, 4, 3]))[0, 0, 0, 0]) == 2


def test_a_lambda_in_a_zip_is_refused_and_runs_only_when_trusted(tmp_path):
    pixels = keras.Input((4, 4, 3))
    model = keras.Model(pixels, keras.layers.Lambda(lambda x: x * 2)(pixels))
    model.save(tmp_path / "encoder.keras")
    assert "it names keras.layers.Lambda" in refused(tmp_path / "encoder.keras")
    trusted = load_encoder(tmp_path / "encoder.keras", trusted=True)
    assert float(trusted(tf.ones([1, 4, 4, 3]))[0, 0, 0, 0]) == 2


def test_a_saved_model_and_pickled_weights_are_refused(tmp_path):
    folder = tmp_path / "folder" / "encoder.keras"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"")
    assert "no zip" in refused(folder)
    pickled = tmp_path / "encoder.keras"
    with zipfile.ZipFile(OLD) as old, zipfile.ZipFile(pickled, "w") as new:
        new.writestr("config.json", old.read("config.json"))
        new.writestr("metadata.json", old.read("metadata.json"))
        new.writestr("model.weights.npz", b"")
    assert "model.weights.npz" in refused(pickled)


def test_a_zip_with_two_configurations_is_refused(tmp_path):
    """Programs differ in which of two entries of one name they read."""
    shutil.copy(OLD, tmp_path / "encoder.keras")
    with zipfile.ZipFile(tmp_path / "encoder.keras", "a") as archive:
        archive.writestr("config.json", "{}")
    refused(tmp_path / "encoder.keras")


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"[]", b'"text"', b"{", b"\xff"])
def test_a_damaged_configuration_is_one_line(content, tmp_path):
    path = tmp_path / "encoder.keras"
    with zipfile.ZipFile(OLD) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name == "config.json" else old.read(name))
    refused(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_damaged_file_is_one_line(part, tmp_path):
    path = tmp_path / "encoder.keras"
    whole = OLD.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(UserError, match=path.name):
        load_encoder(path)
    place = int(part * len(whole))
    path.write_bytes(whole[:place] + b"\0\0\0\0\0\0\0\0" + whole[place + 8 :])
    try:
        load_encoder(path)  # of some bytes HDF5 has no checksum
    except UserError as error:
        assert path.name in str(error)
    with pytest.raises(UserError, match="nowhere"):
        load_encoder(tmp_path / "nowhere.keras")


# One CNN of each kind of layer that keras.applications have, its operators between layers included.
@pytest.mark.parametrize("name", ["MobileNetV3Small", "ConvNeXtTiny", "EfficientNetB0"])
def test_cnns_of_keras_applications_need_no_trust(name, tmp_path):
    encoder = build_encoder(Encoder(name, None, "none", image_size=64))
    encoder.save(tmp_path / "encoder.keras")
    assert foreign(tmp_path / "encoder.keras") is None


def test_the_old_encoder_needs_no_trust():
    check_trusted(OLD)


def test_trust_is_decided_without_tensorflow():
    code = (
        "import sys; from keras_sat.encoder.trust import check_trusted; "
        f"check_trusted({str(OLD)!r}); assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
