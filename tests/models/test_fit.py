"""Keras' own fit, evaluate and predict, and that they agree with the project's trainer."""

import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_addons as tfa

import keras_sat
from keras_sat.data import batches
from keras_sat.data.epochs import FitEpoch
from keras_sat.data.input_pipeline import training_batches
from keras_sat.data.prepared import open_prepared
from keras_sat.encoder.cnn import load_encoder
from keras_sat.models import build, build_captioner
from keras_sat.models.losses import word_log_probs
from keras_sat.runs.loading import load_model
from keras_sat.text.vocabulary import Vocabulary
from keras_sat.training.objectives import Distillation, SelfCritical
from keras_sat.training.optimizers import build_optimizer
from keras_sat.utils.errors import UserError
from tests.models.test_captioner import CAPTIONS, INPUTS

SIZES = {"embedding_size": 12, "state_size": 16, "attention_size": 8}


def assert_equal(found, expected):
    tf.nest.map_structure(np.testing.assert_array_equal, found, expected)


@pytest.fixture(scope="module")
def few(data):
    """Three batches of short captions per epoch."""
    return batches(data, batch_size=16, max_length=5).take(3)


def compiled(data, seed=1, run_eagerly=True):
    """A new model. A few eager steps take less time than tracing a graph."""
    model = build("soft", data, seed=seed, **SIZES)
    model.compile(keras.optimizers.Adam(0.01), seed=1, run_eagerly=run_eagerly)
    return model


@pytest.fixture
def model(data):
    return compiled(data)


def test_fit_and_the_trainer_end_with_the_same_weights(run, data):
    """Both ways take the same step on the same batches, for two epochs."""
    experiment = run.experiment
    trained = load_model(run, "last")
    found = build_captioner(
        experiment.model, trained.vocabulary_size, trained.input_shapes, experiment.seed
    )
    train = batches(data, seed=experiment.seed, batch_size=experiment.data.batch_size)
    found.compile(build_optimizer(experiment.train, len(train)), seed=experiment.seed)
    history = found.fit(train, epochs=2, verbose=0).history
    assert_equal(found.get_weights(), trained.get_weights())
    recorded = [line["loss"] for line in run.curve()]
    assert history["loss"] == pytest.approx(recorded, abs=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("settings", [{}, {"batching": "images"}, {"mirror": True, "crops": True}])
def test_an_epochs_batches_are_the_trainers(settings, seed, mirrored_data):
    """Whatever the global seed is, and also for the epochs in the middle."""
    vocabulary = Vocabulary.load(mirrored_data.folder / "vocabulary.txt")
    config = keras_sat.config.Data(batch_size=8, **settings)
    found = batches(str(mirrored_data.folder), seed=seed, batch_size=8, **settings)
    for epoch in (0, 3):
        keras.utils.set_random_seed(seed or 87654321)
        expected = list(training_batches(mirrored_data, config, vocabulary, seed, epoch))
        assert len(expected) == len(found)
        tf.random.set_seed(99 + epoch)
        FitEpoch.number = epoch
        try:
            for one, other in zip(found, expected, strict=True):
                assert_equal(one, other)
        finally:
            FitEpoch.number = 0


def captions_of(dataset):
    return [batch["captions"].numpy() for batch in dataset]


def test_validation_is_in_one_order_and_outside_fit_it_is_epoch_0(data, model, few):
    validation = batches(data, "val", batch_size=16)
    before = captions_of(validation)
    first = captions_of(few)
    model.fit(few, epochs=2, verbose=0)
    assert_equal(captions_of(few), first)
    FitEpoch.number = 4
    try:
        assert_equal(captions_of(validation), before)
    finally:
        FitEpoch.number = 0


def test_kerass_callbacks_do_what_they_say(data, few, tmp_path):
    model = compiled(data, run_eagerly=False)
    validation = batches(data, "val", batch_size=16)
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    history = model.fit(
        few,
        validation_data=validation,
        epochs=5,
        verbose=0,
        callbacks=[
            keras.callbacks.TensorBoard(tmp_path / "board", histogram_freq=1, update_freq=1),
            keras.callbacks.ModelCheckpoint(f"{tmp_path}/best.keras", save_best_only=True),
            # No improvement is large enough for these two.
            keras.callbacks.ReduceLROnPlateau(factor=0.1, patience=1, min_delta=1e6),
            keras.callbacks.EarlyStopping(patience=2, min_delta=1e6, restore_best_weights=True),
            tfa.callbacks.TQDMProgressBar(),
            tfa.callbacks.TimeStopping(1000),
            Rates(),
        ],
    ).history
    assert len(history["loss"]) == 3, "EarlyStopping"
    assert rates == pytest.approx([0.01, 0.01, 0.001]), "ReduceLROnPlateau"
    assert {"loss", "val_loss", "val_word_loss", "penalty"} <= set(history)
    assert list((tmp_path / "board" / "validation").iterdir()), "TensorBoard"
    best = keras.models.load_model(tmp_path / "best.keras")
    scores = best.evaluate(validation, return_dict=True, verbose=0)
    assert scores["loss"] == pytest.approx(min(history["val_loss"]), rel=1e-5)
    kept = model.evaluate(validation, return_dict=True, verbose=0)
    assert kept["loss"] == pytest.approx(history["val_loss"][0], rel=1e-5)


def test_addonss_checkpoint_of_average_weights(data, few, tmp_path):
    model = compiled(data)
    optimizer = tfa.optimizers.MovingAverage(keras.optimizers.legacy.Adam(0.01))
    model.compile(optimizer, run_eagerly=True)
    path = f"{tmp_path}/average.keras"
    callback = tfa.callbacks.AverageModelCheckpoint(update_weights=False, filepath=path)
    model.fit(few, callbacks=callback, verbose=0)
    trained = model.get_weights()
    optimizer.assign_average_vars(model.trainable_variables)
    average = keras.models.load_model(path).get_weights()
    assert_equal(average, model.get_weights())
    assert any(np.any(one != other) for one, other in zip(average, trained))


@pytest.mark.parametrize("method", ["fit", "validation", "evaluate", "predict"])
def test_a_corrupt_record_is_named(method, data_folder, model, few, tmp_path):
    """With its file and its image, also where the batches went through other transformations."""
    folder = shutil.copytree(data_folder, tmp_path / "data")
    [shard] = folder.glob("train-*.tfrecord")
    damaged = batches(folder, "train", batch_size=16, max_length=5).take(3).map(dict)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    with pytest.raises(UserError, match=rf"{shard}: record 40 is corrupt: image train-\d+; prep"):
        if method == "validation":
            model.fit(few, validation_data=damaged, verbose=0)
        else:
            getattr(model, method)(damaged, verbose=0)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 4:  # in the second epoch
            raise KeyboardInterrupt


def test_an_interrupted_fit_resumes_at_its_epoch(data, few, model, tmp_path):
    """With the optimizer's moments, its step (and so the noise), and the epoch's batches."""
    model.fit(few, epochs=2, verbose=0)
    killed = compiled(data)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        killed.fit(few, epochs=2, verbose=0, callbacks=[backup, Interrupt()])
    resumed = compiled(data, seed=9)  # whose own weights are others
    history = resumed.fit(
        few, epochs=2, verbose=0, callbacks=keras.callbacks.BackupAndRestore(tmp_path / "backup")
    )
    assert history.epoch == [1]
    assert_equal(resumed.get_weights(), model.get_weights())


@pytest.mark.parametrize("arguments", [{"save_freq": 2}, {"save_before_preemption": True}])
def test_resuming_within_an_epoch_is_refused(arguments, model, few, tmp_path):
    callback = keras.callbacks.BackupAndRestore(tmp_path, **arguments)
    with pytest.raises(UserError, match=r"BackupAndRestore: .*skipped.*epoch"):
        model.fit(few, callbacks=[[callback]], verbose=0)


def test_epochs_that_begin_in_the_middle_are_not_backed_up(model, few, tmp_path):
    callback = keras.callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(UserError, match="BackupAndRestore: with steps_per_epoch"):
        model.fit(few.repeat(), steps_per_epoch=2, callbacks=callback, verbose=0)


def test_a_callback_cannot_change_a_schedule(model, few):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    callbacks = [
        keras.callbacks.ReduceLROnPlateau(),
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
    ]
    optimizers = [
        keras.optimizers.Adam(schedule),
        keras.mixed_precision.LossScaleOptimizer(keras.optimizers.Adam(schedule)),
        keras.optimizers.legacy.Adam(schedule),
    ]
    for optimizer in optimizers:
        model.compile(optimizer)
        for callback in callbacks:
            with pytest.raises(UserError, match=rf"{type(callback).__name__}: .*schedule"):
                model.fit(few, callbacks=callback, verbose=0)


def test_batches_without_rows_get_them(few, data, model):
    model.fit(few, verbose=0)
    other = compiled(data)

    def without_row(batch):
        return {name: batch[name] for name in ("features", "captions")}

    other.fit(few.map(without_row), verbose=0)
    assert_equal(other.get_weights(), model.get_weights())


def test_what_fit_cannot_read_is_named(model, few, data):
    with pytest.raises(UserError, match=r"keras_sat\.data\.batches"):
        model.fit(dict(INPUTS), verbose=0)
    with pytest.raises(UserError, match="lack captions, features"):
        model.fit(few.map(lambda batch: {"row": batch["row"]}), verbose=0)
    with pytest.raises(UserError, match="dictionaries with captions, features"):
        model.evaluate(few.map(lambda batch: (batch["features"], batch["captions"])), verbose=0)
    new = build("soft", data, **SIZES)
    with pytest.raises(UserError, match=r"not compiled; call model\.compile"):
        new.fit(few)


def test_predict_gives_the_log_probability_of_each_word(model, data):
    validation = batches(data, "val", batch_size=16)
    found = model.predict(validation, verbose=0)
    assert found.shape == (data.statistics["val"]["captions"], 1, 40)
    row = 0
    for batch in validation:
        expected = word_log_probs(model(batch)[0], batch["captions"]).numpy()
        size, _, length = expected.shape
        np.testing.assert_allclose(found[row : row + size, :, :length], expected, rtol=1e-5)
        assert not found[row : row + size, :, length:].any()
        row += size


def test_predict_pads_images_that_have_fewer_captions():
    model = build("soft", vocabulary_size=13, input_shapes={"features": (2, 3, 5)}, **SIZES)
    parts = [
        {**INPUTS, "captions": CAPTIONS[:, :2]},
        {**INPUTS, "captions": CAPTIONS},
    ]
    dataset = tf.data.Dataset.from_tensors(parts[0]).concatenate(
        tf.data.Dataset.from_tensors(parts[1])
    )
    found = model.predict(dataset, verbose=0)
    assert found.shape == (8, 3, 40)
    assert not found[:4, 2].any() and found[4:, 2, 0].all(where=[True, True, True, False])


def test_summary_shows_shapes(model):
    lines = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    words = model.vocabulary_size
    assert "features (input)" in text and "(None, 8, 8, 128)" in text
    assert f"(None, None, None, {words})" in text and f"{model.count_params():,}" in text
    for layer in model.layers:
        line = next(line for line in lines if line.startswith(f"{layer.name} ("))
        assert "None" in line, line
    assert model.attend.call.__name__ == "call", "the layers are as they were"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"system": "sofd"}, "did you mean soft"),
        ({"system": "soft", "state_sise": 3}, "unknown key state_sise; did you mean state_size"),
        ({"system": "soft", "state_size": 0}, "state_size: 0 is out of range"),
        ({"system": "soft"}, "name a prepared data set, or give vocabulary_size"),
        ({"system": "soft", "data": "nowhere"}, "nowhere: no such data set"),
        ({"system": "areas", "filter_layer": "conv"}, "filter_layer"),
    ],
)
def test_build_names_what_is_wrong(arguments, message):
    with pytest.raises(UserError, match=message):
        build(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "nowhere"}, "nowhere: no such data set"),
        ({"split": "validation"}, "no split 'validation'"),
        ({"inputs": ["boxes"]}, "no object proposals"),
        ({"mirror": True}, "no features of flipped images"),
        ({"batch_sise": 3}, "unknown key batch_sise; did you mean batch_size"),
        ({"path": "x"}, "takes no path"),
    ],
)
def test_batches_names_what_is_wrong(arguments, message, data):
    with pytest.raises(UserError, match=message):
        batches(**{"data": data, **arguments})


def test_areas_read_their_boxes(boxes_data):
    model = build("areas", boxes_data, areas="proposals", embedding_size=6, state_size=7)
    model.compile(run_eagerly=True)
    inputs = model.input_shapes
    assert set(inputs) == {"features", "boxes", "region_features"}
    train = batches(open_prepared(boxes_data.folder), inputs=inputs, batch_size=8)
    history = model.fit(train.take(1), verbose=0).history
    assert np.isfinite(history["loss"][0])


def test_a_cnn_in_the_model_reads_pictures(data, tmp_path):
    cnn = load_encoder(data.folder / "encoder.keras")
    model = build("soft", data, cnn=cnn, **SIZES)
    assert set(model.input_shapes) == {"pixels"}
    model.compile(run_eagerly=True)
    settings = {"batch_size": 5, "batching": "images", "max_length": 4}
    train = batches(data, inputs=model.input_shapes, **settings).take(1)
    model.fit(train, verbose=0)
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    assert_equal(loaded.predict(train, verbose=0), model.predict(train, verbose=0))


def test_an_objective_that_is_not_prepared_says_so(model, few):
    objectives = {
        "Distillation: has no teacher": Distillation(lambda: None, 0.5),
        "SelfCritical: has no reward": SelfCritical(samples=2, max_length=5),
    }
    for message, objective in objectives.items():
        model.compile(objective=objective)
        with pytest.raises(UserError, match=message):
            model.fit(few, verbose=0)


def test_a_batch_alone(model):
    few = build("soft", vocabulary_size=13, input_shapes={"features": (2, 3, 5)}, **SIZES)
    few.compile(run_eagerly=True)
    batch = {name: INPUTS[name].numpy() for name in ("features", "captions")}
    first = few.train_on_batch(batch, return_dict=True)["loss"]
    assert few.test_on_batch(batch, return_dict=True, reset_metrics=True)["loss"] < first


MIRRORED = """
import sys
import keras_sat
import keras, tensorflow as tf
from tests.support.rounding import assert_close

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
data, path = sys.argv[1:]
workers = tf.distribute.MultiWorkerMirroredStrategy()
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
train = keras_sat.data.batches(data, batch_size=3, max_length=6)  # odd: no batch divides by two
validation = keras_sat.data.batches(data, "val", batch_size=3, max_length=6).take(5)
# Six steps, each by a gradient of up to six words in a chain, each with sums over the sizes below,
# the 128 channels of the regions and the 67 words.
ROUNDINGS = 2000
SIZES = {"embedding_size": 6, "state_size": 7, "attention_size": 4, "samples": 2}


def made(scope, **settings):
    with scope:
        model = keras_sat.models.build("hard", data, **SIZES)
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), seed=1, **settings)
    return model


def assert_equal_weights(one, other, roundings):
    for found, expected in zip(one.get_weights(), other.get_weights(), strict=True):
        # Weights of size 1 meet. (The bias of scores has a gradient whose terms cancel.)
        assert_close(found, expected, roundings, terms=1.0)


def without_row(batch):
    return {name: batch[name] for name in ("features", "captions")}


try:
    made(workers.scope()).fit(train)
    raise AssertionError("several workers")
except keras_sat.utils.errors.UserError as error:
    assert "keras-sat train" in str(error)
two = made(strategy.scope())
history = two.fit(train.take(6).map(without_row), validation_data=validation, verbose=0).history
one = made(tf.distribute.get_strategy().scope(), run_eagerly=True)
expected = one.fit(train.take(6), validation_data=validation, verbose=0).history
for name in set(expected) - {"filled", "val_filled"}:
    assert_close(history[name], expected[name], ROUNDINGS, what=name)
assert_equal_weights(two, one, ROUNDINGS)
found = two.predict(validation.map(without_row), verbose=0)
assert_close(found, one.predict(validation, verbose=0), ROUNDINGS)
two.save(path)
with strategy.scope():
    loaded = keras.models.load_model(path)
for model in (two, loaded):
    model.fit(train.skip(6).take(2), verbose=0)
assert loaded.optimizer.iterations == 8
assert_equal_weights(loaded, two, ROUNDINGS)
"""


def test_two_devices_train_as_one(data_folder, tmp_path):
    """In a process of its own, since devices are divided before TensorFlow starts.

    Rows are numbered before they are distributed, so that both draw the same noise. Shares without
    rows are filled up.
    """
    path = tmp_path / "two.keras"
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MIRRORED, str(data_folder), str(path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.returncode == 0, result.stderr[-3000:]
