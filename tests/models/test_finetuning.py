"""Training with the CNN in the graph, runs that start from others, and separate learning rates."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config
from keras_sat.data import input_pipeline
from keras_sat.data.reading import read_records
from keras_sat.decoding.captioned import caption_split
from keras_sat.decoding.search import caption_function
from keras_sat.encoder.cnn import build_encoder, unfreeze
from keras_sat.models import build_captioner
from keras_sat.runs.captioning import caption_files
from keras_sat.runs.loading import build_model, load_model, load_vocabulary, run_encoder
from keras_sat.runs.run import create_run, open_run
from keras_sat.training.initialisation import initialise
from keras_sat.training.optimizers import build_optimizer
from keras_sat.training.train import train
from keras_sat.training.trainer import Trainer
from keras_sat.utils.errors import UserError
from tests.support.rounding import assert_close

AREAS = ["model.name=areas", "model.embedding_size=12", "model.state_size=16"]


@pytest.fixture(scope="module")
def load(experiment):
    """An experiment on the small data set, with other settings."""

    def load(*overrides):
        first = [
            f"data.path={experiment.data.path}",
            "data.batch_size=16",
            "train.epochs=1",
            "train.deterministic=false",
        ]
        return config.load(None, [*first, *overrides])

    return load


def cnn_layers(run):
    return [layer.name for layer in run_encoder(run).layers[-1].layers]


@pytest.fixture(scope="module")
def finetuned(load, data, run, tmp_path_factory):
    """Stage 2 of the small run: the CNN is trained from its middle layer on."""
    layer = cnn_layers(run)[len(cnn_layers(run)) // 2]
    experiment = replace(
        run.experiment,
        init_from=str(run.folder),
        data=replace(run.experiment.data, batching="images"),
        finetune=config.FineTuning(from_layer=layer),
        train=replace(run.experiment.train, epochs=1),
    )
    return train(experiment, tmp_path_factory.mktemp("runs") / "finetuned")


def test_the_cnn_in_the_graph_sees_what_preparation_saw(run, data):
    """Before the CNN is trained, probabilities from pixels are those from stored features."""
    experiment = replace(run.experiment, finetune=config.FineTuning(from_layer=cnn_layers(run)[-1]))
    experiment = replace(experiment, data=replace(experiment.data, batching="images"))
    facts = replace(run.facts, inputs={"pixels": data.input_shapes["pixels"]})
    model = build_model(replace(run, experiment=experiment, facts=facts))
    tf.train.Checkpoint(model=model).restore(run.checkpoint()).expect_partial()
    (batch,) = input_pipeline.evaluation_batches(data, "val", 8, inputs=("pixels", "features"))
    captions = tf.fill([8, 1, 5], 7)
    found, expected = (m({**batch, "captions": captions}) for m in (model, load_model(run)))
    # The tolerance is for the stored features, which are quantised.
    np.testing.assert_allclose(np.exp(found[0]), np.exp(expected[0]), atol=5e-3)
    np.testing.assert_allclose(found[1], expected[1], atol=5e-3)


def test_stage_two_starts_from_stage_one_and_learns_from_the_layer_on(finetuned, run):
    stage_one = load_model(run)
    stage_two = load_model(finetuned, "last")
    start = run_encoder(run).layers[-1]
    last = stage_two.cnn.layers[-1]
    learned = {}
    for layer in last.layers:
        before = start.get_layer(layer.name).get_weights()
        learned[layer.name] = any(np.any(a != b) for a, b in zip(layer.get_weights(), before))
    names = [layer.name for layer in last.layers if layer.weights]
    chosen = finetuned.experiment.finetune.from_layer
    first = next(
        i
        for i, name in enumerate(names)
        if cnn_layers(run).index(name) >= cnn_layers(run).index(chosen)
    )
    assert not any(learned[name] for name in names[:first]) and all(
        learned[name]
        for name in names[first:]
        if not isinstance(last.get_layer(name), keras.layers.BatchNormalization)
    )
    assert len(stage_two.trainable_variables) > len(stage_one.trainable_variables)


def test_a_student_on_pixels_learns_from_a_teacher_on_features(run, tmp_path):
    """At first the two are the same captioner, except for the quantisation of features.

    So there is nothing to learn from the teacher.
    """
    settings = run.experiment
    moved = []
    for share in (0.0, 1.0):
        experiment = replace(
            settings,
            init_from=str(run.folder),
            data=replace(settings.data, batching="images"),
            model=replace(
                settings.model, state_dropout=0.0, output_dropout=0.0, penalty_weight=0.0
            ),
            finetune=config.FineTuning(from_layer=cnn_layers(run)[-2]),
            train=replace(
                settings.train,
                epochs=1,
                optimizer="sgd",
                teachers=(str(run.folder),),
                distillation=share,
            ),
        )
        taught = load_model(train(experiment, tmp_path / str(share)), "last")
        pairs = zip(
            taught.read_out.get_weights(), load_model(run).read_out.get_weights(), strict=True
        )
        moved.append(max(np.abs(a - b).max() for a, b in pairs))
    assert 0 < moved[1] < 0.05 * moved[0]


def test_a_finetuned_run_captions_files(finetuned, data, tmp_path):
    """Its own CNN gives files the captions that `evaluate` gives the records."""
    records = list(read_records(data, "val"))
    paths = [tmp_path / f"{record.source_id}.png" for record in records]
    for path, record in zip(paths, records):
        path.write_bytes(record.encoded)
    captioned, errors = caption_files(finetuned, paths)
    model = load_model(finetuned)
    generate = caption_function(model, finetuned.experiment.decoding)
    expected = caption_split(generate, model, data, "val", load_vocabulary(finetuned))
    assert not errors and [c.caption for _, _, c, _ in captioned] == [
        each.caption for each in expected
    ]


def test_batch_norm_is_frozen_unless_asked_for():
    for name in ("frozen", "trained"):
        encoder = build_encoder(config.Encoder(name="MobileNet", weights="none", image_size=32))
        unfreeze(encoder, "conv_dw_11", name)
        model = encoder.layers[-1]
        scales = [
            layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)
        ]
        assert [bool(layer.trainable_weights) for layer in scales[-2:]] == [name == "trained"] * 2
        assert not scales[0].trainable_weights
        before = [layer.moving_mean.numpy() for layer in scales]
        encoder(tf.random.uniform([4, 32, 32, 3]) * 255, training=name == "trained")
        moved = [
            bool(np.any(layer.moving_mean.numpy() != old)) for layer, old in zip(scales, before)
        ]
        assert moved[-1] == (name == "trained") and not moved[0]


@pytest.mark.parametrize("name", ["soft", "hard", "show_and_tell", "areas"])
def test_batch_statistics_move_in_every_systems_training_only(name):
    encoder = build_encoder(config.Encoder(name="MobileNet", weights="none", image_size=32))
    finetune = config.FineTuning(from_layer="conv_dw_11", batch_norm="trained")
    unfreeze(encoder, finetune.from_layer, finetune.batch_norm)
    model = build_captioner(
        config.SYSTEMS[name](), 11, {"pixels": (32, 32, 3)}, 0, encoder, finetune
    )
    model.compile(keras.optimizers.SGD(1e-3))
    pixels = tf.cast(tf.random.stateless_uniform([4, 32, 32, 3], [1, 1], maxval=255), tf.uint8)
    inputs = {"pixels": pixels, "captions": tf.fill([4, 1, 3], 7), "row": tf.range(4)}
    last = [
        layer
        for layer in encoder.layers[-1].layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ][-1]
    seen = [last.moving_mean.numpy()]
    for step in (model.test_step, model.train_step):
        step(inputs)
        seen.append(last.moving_mean.numpy())
    assert np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[1], seen[2])


def test_a_transformer_starts_from_a_run_on_the_grid(load, data, tmp_path):
    grid = train(load(*AREAS), tmp_path / "grid")
    experiment = load(
        *AREAS, "model.areas=transformer", f"init_from={grid.folder}", "train.epochs=2"
    )
    run = create_run(tmp_path / "transformer", experiment, data)
    trainer = Trainer(run, data)
    initialise(trainer.model, run)
    (batch,) = input_pipeline.evaluation_batches(data, "val", 8)
    inputs = {"features": batch["features"], "captions": tf.fill([8, 1, 5], 7)}
    found, _ = trainer.model(inputs)
    expected, _ = load_model(grid)(inputs)
    np.testing.assert_allclose(np.exp(found), np.exp(expected), atol=0.01)
    before = trainer.model.areas.affine_maps(batch["features"])
    trainer.fit()
    assert np.abs(trainer.model.areas.affine_maps(batch["features"]) - before).max() > 1e-3, (
        "the areas move"
    )


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_some_weights_may_have_their_own_learning_rate(optimizer):
    """The result is that of two optimisers, one of them with the smaller rate."""
    settings = config.Training(optimizer=optimizer, learning_rate=0.1, clip_norm=0.0)
    start = tf.random.stateless_normal([5], [1, 1])

    def run(settings, slow):
        weight = tf.Variable(start)
        built = build_optimizer(settings, 10, [([weight], 0.2)] if slow else [])
        for step in range(4):
            built.apply_gradients([(tf.random.stateless_normal([5], [step, 2]), weight)])
        return weight

    smaller = replace(settings, learning_rate=0.02)
    # Roundings: four steps, each of about ten.
    assert_close(run(settings, True), run(smaller, False), roundings=4 * 10)


def refused(message, function, *args):
    with pytest.raises(UserError, match=message):
        function(*args)


def test_bad_input_is_refused_and_leaves_nothing_behind(load, run, data, mirrored_data, tmp_path):
    target = tmp_path / "run"
    refused(
        "no layer 'blok5'", train, load("finetune.from_layer=blok5", "data.batching=images"), target
    )
    refused(
        "no object proposals; prepare it with", train, load(*AREAS, "model.areas=proposals"), target
    )
    refused("no run there", train, load("init_from=runs/nowhere"), target)
    wider = load(*AREAS, "model.areas=transformer", f"init_from={run.folder}")
    refused(r"init_from: .*small does not fit: its .* has shape", train, wider, target)
    refused("no run there", train, load("train.teachers=[runs/nowhere]"), target)
    other_words = load(f"data.path={mirrored_data.folder}", f"train.teachers=[{run.folder}]")
    refused(
        "train.teachers: .*mirrored: its vocabulary .*does not match that of .*small",
        train,
        other_words,
        target,
    )
    # After all of these, another experiment may have that folder.
    train(load("model.state_size=9"), target)
    assert (target / "metrics.jsonl").exists()
    with pytest.raises(UserError, match="would run the CNN once per caption"):
        load("finetune.from_layer=x")
    load_model(open_run(target))
