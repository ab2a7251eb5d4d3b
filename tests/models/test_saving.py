"""Captioners as .keras files: a fresh process reads them, and continues training them."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config
from keras_sat.models import build_captioner
from keras_sat.models.step import Likelihood
from keras_sat.training.objectives import Distillation, SelfCritical
from keras_sat.training.optimizers import build_optimizer
from keras_sat.utils.errors import UserError
from tests.models.test_captioner import INPUTS, VARIANTS, V, shapes_for
from tests.runs import test_old_checkpoints as old_checkpoints
from tests.support.rounding import assert_close

SYSTEMS = ("soft, paper", "hard, paper", "show and tell", "areas, transformer")
BATCH = {name: tensor for name, tensor in INPUTS.items() if name != "row"}
PIXELS = tf.cast(tf.random.stateless_uniform([4, 8, 8, 3], [1, 2], maxval=255), tf.uint8)

# The process imports keras_sat, and Keras, whose load_model it calls.
CHILD = """
import pathlib, sys
import keras_sat
import keras, numpy as np, tensorflow as tf

folder = pathlib.Path(sys.argv[1])
inputs = {name: tf.constant(value) for name, value in np.load(folder / "inputs.npz").items()}
batches = tf.data.Dataset.from_tensors(inputs)
for path in sorted(folder.glob("*.keras")):
    model = keras.models.load_model(path)
    expected = np.load(path.with_suffix(".npz"))
    log_probs, attention = model(inputs)
    np.testing.assert_array_equal(log_probs, expected["log_probs"], path.name)
    np.testing.assert_array_equal(attention, expected["attention"], path.name)
    if "weight 0" in expected:
        model.fit(batches, initial_epoch=1, epochs=2, verbose=0)
        assert model.optimizer.iterations == 2
        for number, weight in enumerate(model.get_weights()):
            np.testing.assert_array_equal(weight, expected[f"weight {number}"], path.name)
    print(path.stem)
"""


def with_cnn():
    """A captioner that holds its CNN, of which the second layer is trained."""
    pixels = keras.Input((8, 8, 3))
    first = keras.layers.Conv2D(4, 3, strides=4, trainable=False)
    features = keras.layers.Conv2D(5, 1)(first(keras.layers.Rescaling(1 / 255)(pixels)))
    cnn = keras.Model(pixels, features)
    finetune = config.FineTuning(from_layer="second", rate=0.5)
    settings = VARIANTS["soft, paper"]
    return build_captioner(settings, V, {"pixels": (8, 8, 3)}, 3, cnn, finetune)


def models():
    """{name: a captioner} of every variant, of one with a CNN and one in mixed precision."""
    made = {}
    for name, settings in VARIANTS.items():
        made[name] = build_captioner(settings, V, shapes_for(settings), seed=3)
    made["with a CNN"] = with_cnn()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        made["mixed precision"] = build_captioner(
            VARIANTS["soft, paper"], V, shapes_for(VARIANTS["soft, paper"]), seed=3
        )
    finally:
        keras.mixed_precision.set_global_policy("float32")
    return made


def train(model, epochs, initial_epoch=0):
    batches = tf.data.Dataset.from_tensors({**BATCH, "pixels": PIXELS})
    model.fit(batches, initial_epoch=initial_epoch, epochs=epochs, verbose=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with NAME.keras of every captioner, and NAME.npz of what it should answer.

    The four systems, mixed precision and the CNN are saved after the first of two epochs; their
    weights after the second are in the .npz too.
    """
    folder = tmp_path_factory.mktemp("saved")
    inputs = {**BATCH, "pixels": PIXELS}
    np.savez(folder / "inputs.npz", **{name: each.numpy() for name, each in inputs.items()})
    for name, model in models().items():
        expected = {}
        is_trained = name in (*SYSTEMS, "with a CNN", "mixed precision")
        if is_trained:
            optimizer = keras.optimizers.Adam(0.01, global_clipnorm=1.0, use_ema=True)
            model.compile(
                optimizer, seed=5, label_smoothing=0.1, weight_decay=0.01, run_eagerly=True
            )
            train(model, epochs=1)
        model.save(folder / f"{name}.keras")
        log_probs, attention = model(inputs)
        if is_trained:
            train(model, epochs=2, initial_epoch=1)
            for number, weight in enumerate(model.get_weights()):
                expected[f"weight {number}"] = weight
        np.savez(folder / f"{name}.npz", log_probs=log_probs, attention=attention, **expected)
    return folder


def test_a_fresh_process_loads_every_captioner_and_goes_on_training(folder):
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, str(folder)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert set(result.stdout.splitlines()) == {*VARIANTS, "with a CNN", "mixed precision"}


def test_a_file_holds_settings_and_not_code(folder):
    with zipfile.ZipFile(folder / "soft, paper.keras") as file:
        stored = json.loads(file.read("config.json"))
    assert stored["registered_name"] == "keras_sat>SoftCaptioner"
    assert stored["config"]["config"]["attention_size"] == 4
    assert "lambda" not in json.dumps(stored).lower()


def test_layers_that_were_not_trained_stay_so(folder):
    model = keras.models.load_model(folder / "with a CNN.keras")
    assert len(model.cnn.trainable_variables) == 2 and len(model.cnn.variables) == 4
    assert model.slow_weights()[0][1] == 0.5
    assert model.finetune == config.FineTuning(from_layer="second", rate=0.5)


class Unknown(Likelihood):
    def __init__(self, share):
        self.share = share


def of_a_run(model):
    return build_optimizer(config.Training(average=0.9), 10, model.slow_weights()), None


def legacy(model):
    return keras.optimizers.legacy.Adam(), None


def unknown_objective(model):
    return "adam", Unknown(0.5)


def distillation(model):
    return "adam", Distillation(load=None, share=0.5)


def self_critical(model):
    return "adam", SelfCritical(samples=2, max_length=5)


@pytest.mark.parametrize(
    ("compiled", "lacks"),
    [
        (of_a_run, "WithEarlyAverage"),
        (legacy, "Adam"),
        (unknown_objective, "Unknown"),
        (distillation, "Distillation"),
        (self_critical, "SelfCritical"),
    ],
)
def test_what_a_file_cannot_hold_asks_to_compile(compiled, lacks, tmp_path):
    settings = VARIANTS["soft, paper"]
    model = build_captioner(settings, V, shapes_for(settings), seed=3)
    model.compile(*compiled(model))
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(loaded(INPUTS)[0], model(INPUTS)[0])
    batches = tf.data.Dataset.from_tensors(INPUTS)
    for method in (loaded.fit, loaded.evaluate):
        with pytest.raises(UserError, match=r"compile\(optimizer.* first") as error:
            method(batches)
        assert lacks in str(error.value)


def test_another_format_is_refused_and_nothing_is_half_written(tmp_path, monkeypatch):
    settings = VARIANTS["soft, paper"]
    model = build_captioner(settings, V, shapes_for(settings), seed=3)
    for name, save_format in (("x", None), ("x.h5", None), ("x.keras", "tf")):
        with pytest.raises(UserError, match=r"ends in \.keras"):
            model.save(tmp_path / name, save_format=save_format)
    assert list(tmp_path.iterdir()) == []
    path = tmp_path / "x.keras"
    model.save(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match="exists"):
        model.save(path, overwrite=False)
    monkeypatch.setattr(type(model.lstm), "save_own_variables", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["x.keras"]
    assert path.read_bytes() == before


def test_settings_of_a_newer_version_are_named(folder):
    model = keras.models.load_model(folder / "soft, report.keras")
    changed = model.get_config()
    changed["config"] = {**changed["config"], "heads": 8}
    with pytest.raises(UserError, match=r"unknown key model\.heads"):
        type(model).from_config(changed)
    again = type(model).from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert replace(model.config) == again.config


@pytest.mark.parametrize("name", ["hard", "show_and_tell", "areas"])
def test_a_file_that_was_saved_before_is_read(name):
    """The files were written when saving was new, after one update of each system."""
    path = Path(__file__).parent / "saved" / f"{name}.keras"
    model = keras.models.load_model(path)
    assert model.optimizer.iterations == 1
    log_probs, _ = model(old_checkpoints.INPUTS)
    assert_close(np.exp(log_probs), np.exp(np.load(path.with_suffix(".npy"))), roundings=100)
