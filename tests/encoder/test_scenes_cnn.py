import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_sat.data import scenes
from keras_sat.encoder import scenes_cnn

TRAIN_TWICE = """
import hashlib, json
import tensorflow as tf
from keras_sat.encoder import scenes_cnn

tf.config.experimental.enable_op_determinism()
digests = []
losses = []

def progress(scores):
    losses.append(scores["loss"])

for _ in range(2):
    model = scenes_cnn.train_scenes_cnn(0, count=64, epochs=2, progress=progress)
    weights = b"".join(weight.tobytes() for weight in model.get_weights())
    digests.append(hashlib.sha256(weights).hexdigest())
print(json.dumps([digests, losses]))
"""


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, [3, scenes.SIZE, scenes.SIZE, 3], np.uint8)


def test_feature_map(pictures):
    model = scenes_cnn.build_scenes_cnn()
    assert model.output_shape == (None, 8, 8, 128)
    assert model.get_layer("features").output is model.output
    np.testing.assert_array_equal(model(pictures), model(pictures.astype("float32")))


def test_annotations_know_where_they_are():
    blank = np.full([1, scenes.SIZE, scenes.SIZE, 3], 128, np.uint8)
    inner = scenes_cnn.build_scenes_cnn()(blank).numpy()[0, 3:5, 3:5].reshape(4, -1)
    assert len(np.unique(inner, axis=0)) == 4


def test_a_saved_network_is_the_same_function(tmp_path, pictures):
    model = scenes_cnn.build_scenes_cnn(seed=1)
    model.save(tmp_path / "cnn.keras")
    again = keras.models.load_model(tmp_path / "cnn.keras")
    np.testing.assert_array_equal(model(pictures), again(pictures))


def test_labels_hold_the_object_over_each_cell():
    scene = scenes.draw("train-cnn-000000", seed=0)
    labels = scenes_cnn._dense_labels(scene.objects)
    for each in scene.objects:
        cells = np.all(labels["box"] == np.float32(each.box), axis=-1)
        assert cells.any()  # no object is too small to be labelled
        for name, classes in scenes_cnn.CLASSES.items():
            assert {classes[k - 1] for k in labels[name][cells]} == {getattr(each, name)}
    assert all(np.all((labels[name] > 0) == (labels["shape"] > 0)) for name in scenes_cnn.CLASSES)


def test_training_is_bit_deterministic_and_lowers_the_loss():
    # In its own process: determinism cannot be switched off again and would apply to other tests.
    run = subprocess.run(
        [sys.executable, "-c", TRAIN_TWICE], capture_output=True, text=True, check=True
    )
    (first, second), losses = json.loads(run.stdout.splitlines()[-1])
    assert first == second
    assert losses[:2] == losses[2:]
    assert losses[1] < losses[0]
    assert "images/s" in run.stderr
