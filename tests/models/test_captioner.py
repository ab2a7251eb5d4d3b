"""The captioner's contract, for every system and every published variant of it."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config
from keras_sat.decoding.search import caption_function
from keras_sat.layers.areas.grid import grid_boxes
from keras_sat.layers.noise import Noise
from keras_sat.models import build_captioner
from keras_sat.models.losses import cross_entropy
from keras_sat.text.ids import END, PAD, START, shift_right
from tests.support.rounding import assert_close

V, SHAPE = 13, (2, 3, 5)
SIZES = {"embedding_size": 6, "state_size": 7}
SMALL = config.Soft(**SIZES, attention_size=4)
HARD = config.Hard(**SIZES, attention_size=4)
AREAS = config.Areas(**SIZES, train_boxes=3, localisation_size=4)
TRANSFORMER = config.Transformer(
    width=8, heads=2, encoder_layers=2, decoder_layers=2, hidden_size=12, positions=9
)
VARIANTS = {
    "soft, paper": SMALL,
    "soft, report": replace(
        SMALL,
        gate="vector",
        output="linear",
        attention_activation="relu",
        initial_activation="linear",
    ),
    "soft, arctic": replace(
        SMALL, attention_layers=2, initial_layers=2, initializer="gaussian", penalty="arctic"
    ),
    "soft, no gate": replace(SMALL, gate="none", penalty="mean"),
    "soft, annotation layer": replace(SMALL, annotation_size=3),
    "soft, mean annotation": replace(SMALL, attention="uniform"),
    "hard, paper": HARD,
    "hard, arctic": replace(
        HARD, attention_gradient="reinforce", expectation_per="batch", penalty="arctic", samples=2
    ),
    "hard, argmax": replace(HARD, decode="argmax", samples=3, reward="caption"),
    "hard, sample": replace(HARD, decode="sample"),
    "show and tell": config.ShowAndTell(**SIZES),
    "show and tell, one layer": config.ShowAndTell(**SIZES, lstm_layers=1, state_dropout=0.2),
    "show and tell, annotation layer": config.ShowAndTell(**SIZES, annotation_size=3),
    "areas, word-state": replace(AREAS, word_region=False, region_state=False, feedback="none"),
    "areas, word-region": replace(AREAS, region_state=False, feedback="none"),
    "areas, region-state": replace(AREAS, feedback="none"),
    "areas, conditional": replace(AREAS, feedback="conditional"),
    "areas, conditional without word-region": replace(
        AREAS, feedback="conditional", word_region=False
    ),
    "areas, grid": AREAS,
    "areas, grid with stride": replace(AREAS, train_stride=2),
    "areas, transformer": replace(AREAS, areas="transformer"),
    "areas, transformer, annotation layer": replace(AREAS, areas="transformer", annotation_size=3),
    "areas, proposals": replace(AREAS, areas="proposals"),
    "transformer": TRANSFORMER,
    "transformer, no encoder": replace(
        TRANSFORMER, encoder_layers=0, norm="post", position_vectors="learned", attention_layer=1
    ),
    "transformer, geometry, tied": replace(TRANSFORMER, geometry=True, tied=True),
    "transformer, meshed memory": replace(TRANSFORMER, meshed=True, memory_vectors=3, norm="post"),
}
# Roundings: T steps, each with sums over embedding, state, channels (twice), attention and words.
# On the way back there are also sums over captions.
FORWARD = 4 * (6 + 7 + 5 + 5 + 7 + V)
BACKWARD = 2 * FORWARD + 4 * 12
SEARCH = 9 * (6 + 7 + 5 + 5 + 7 + V)  # nine steps
FEATURES = tf.random.stateless_normal([4, *SHAPE], [1, 2])
CAPTIONS = tf.constant(
    [
        [[5, 6, 7, END], [8, END, PAD, PAD], [4, 4, END, PAD]],
        [[12, 11, END, PAD], [9, 5, 6, END], [7, END, PAD, PAD]],
        [[3, 3, 3, END], [10, 6, END, PAD], [5, 8, 9, END]],
        [[6, END, PAD, PAD], [6, 7, END, PAD], [PAD, PAD, PAD, PAD]],
    ]
)
BOXES = tf.constant(
    [[0, 0, 0.5, 0.5], [0.5, 0, 1, 1], [0.1, 0.2, 0.9, 0.7], [0.2, 0.6, 0.4, 0.8], [0, 0, 1, 1]]
)
PADDED = tf.concat([BOXES[:4], tf.zeros([2, 4])], axis=0)
INPUTS = {
    "features": FEATURES,
    "captions": CAPTIONS,
    "row": tf.range(4),
    "boxes": tf.stack(
        [tf.pad(BOXES, [[0, 1], [0, 0]]), PADDED, PADDED, tf.pad(BOXES, [[0, 1], [0, 0]])]
    ),
}


def shapes_for(settings):
    shapes = {"features": SHAPE}
    if getattr(settings, "areas", "") == "proposals":
        shapes["boxes"] = (6, 4)
    return shapes


@pytest.fixture(params=VARIANTS)
def model(request):
    built = build_captioner(VARIANTS[request.param], V, shapes_for(VARIANTS[request.param]), seed=3)
    built.compile(keras.optimizers.Adam())
    return built


def loss_and_gradients(model, inputs, noise=None):
    kwargs = {"noise": noise} if noise else {}
    with tf.GradientTape() as tape:
        terms, _ = model.loss_terms(inputs, 11.0, **kwargs)
        loss = tf.add_n(list(terms.values()))
    gradients = tape.gradient(loss, model.trainable_variables)
    return terms, [tf.convert_to_tensor(each).numpy() for each in gradients]


def assert_gradients_close(found, expected, model):
    """Compares on the scale of the larger gradients too.

    A softmax ignores a shift of all its scores. So terms as large as those of other weights cancel
    in the gradients of the attention.
    """
    largest = [np.max(np.abs(each)) for each in expected]
    for one, other, weight, own in zip(
        found, expected, model.trainable_variables, largest, strict=True
    ):
        assert_close(
            one, other, roundings=BACKWARD, terms=max(own, max(largest) / 10), what=weight.name
        )


def test_channel_dropout_is_all_that_a_system_sees_of_the_channels(model):
    """The summary and every region are those of a map that lost the channels beforehand."""
    assert_channels_are_lost(model, ["features"])


def test_the_annotation_layer_is_a_layer_of_the_cnn():
    """A system without the layer gets the same annotations from a CNN that ends in it.

    This holds for both of the CNN's maps.
    """
    shapes = shapes_for(VARIANTS["areas, proposals"]) | {"region_features": (4, 6, 5)}
    inputs = INPUTS | {"region_features": tf.random.stateless_normal([4, 4, 6, 5], [3, 4])}
    model = build_captioner(
        replace(VARIANTS["areas, proposals"], annotation_size=3), V, shapes, seed=3
    )
    seen = model.encode(inputs)
    rectified = {name: model.annotate(inputs[name]) for name in ("features", "region_features")}
    shapes |= {name: (*shapes[name][:2], 3) for name in rectified}
    plain = build_captioner(VARIANTS["areas, proposals"], V, shapes, seed=3)
    assert tf.reduce_mean(tf.cast(rectified["features"] == 0, tf.float32)) > 0.1
    for name, of_plain in plain.encode(inputs | rectified).items():
        if name in ("regions", "summary", "boxes", "present"):
            np.testing.assert_array_equal(seen[name], of_plain)


def test_a_larger_map_loses_the_same_channels():
    shapes = shapes_for(VARIANTS["areas, proposals"]) | {"region_features": (4, 6, 5)}
    model = build_captioner(VARIANTS["areas, proposals"], V, shapes, seed=3)
    assert_channels_are_lost(model, ["features", "region_features"])


def assert_channels_are_lost(model, names):
    inputs = INPUTS | {"region_features": tf.random.stateless_normal([4, 4, 6, 5], [3, 4])}
    model.config = replace(model.config, channel_dropout=0.5)
    noise = Noise(0, 0, inputs["row"])
    lost = inputs | {name: noise.channel_dropout("channels", inputs[name], 0.5) for name in names}
    seen = model.encode(inputs, noise)
    model.config = replace(model.config, channel_dropout=0.0)
    tf.nest.map_structure(np.testing.assert_array_equal, seen, model.encode(lost, noise))


def test_call_is_t_times_step(model):
    log_probs, attention = model(INPUTS)
    assert log_probs.shape == [4, 3, 4, V] and attention.shape == [4, 3, 4, 6]
    annotations = model.encode(INPUTS)
    state = model.initial_state(annotations, 3)
    tokens = shift_right(CAPTIONS)
    for t in range(4):
        step_log_probs, step_attention, state = model.step(tokens[..., t], state, annotations)
        assert_close(np.exp(step_log_probs), np.exp(log_probs[:, :, t]), roundings=FORWARD)
        assert_close(step_attention, attention[:, :, t], roundings=FORWARD)


def test_what_is_told_beside_the_words_is_a_number_per_word(model):
    if hasattr(model, "explain"):
        for name, values in model.explain(INPUTS).items():
            assert values.shape == CAPTIONS.shape, name


def test_the_gradients_of_call_are_those_of_t_steps(model):
    """The recurrence in the graph is optimised; a plain loop over `step` is not."""

    def by_steps(model):
        annotations = model.encode(INPUTS)
        state = model.initial_state(annotations, 3)
        log_probs = []
        for tokens in tf.unstack(shift_right(CAPTIONS), axis=2):
            step_log_probs, attention, state = model.step(tokens, state, annotations)
            log_probs.append(step_log_probs)
        return tf.stack(log_probs, axis=2), attention

    gradients = []
    for outputs in (lambda model: (model(INPUTS)[0], model(INPUTS)[1][:, :, -1]), by_steps):
        with tf.GradientTape() as tape:
            log_probs, last_attention = outputs(model)
            loss = cross_entropy(log_probs, CAPTIONS) + tf.reduce_sum(last_attention**2)
        gradients.append(
            tape.gradient(loss, model.trainable_variables, unconnected_gradients="zero")
        )
    assert_gradients_close(
        *([tf.convert_to_tensor(each) for each in of_all] for of_all in gradients), model
    )


def test_words_and_attention_are_distributions(model):
    log_probs, attention = model(INPUTS)
    # The logarithms, of size 5, are rounded.
    assert_close(np.exp(log_probs).sum(-1), 1, roundings=5 * V)
    assert_close(attention.numpy().sum(-1), 1, roundings=2 * 6)
    assert np.all(np.exp(log_probs.numpy()[..., [PAD, START]]) == 0)


def test_hypotheses_share_an_image_but_not_a_state(model):
    if getattr(model.config, "decode", "") == "sample":
        pytest.skip("every hypothesis samples for itself")
    together, _ = model(INPUTS)
    for n in range(3):
        alone, _ = model({**INPUTS, "captions": CAPTIONS[:, n : n + 1]})
        assert_close(np.exp(alone[:, 0]), np.exp(together[:, n]), roundings=FORWARD)


def test_further_padding_changes_nothing(model):
    # Three more steps, and one more caption per image.
    padded = {**INPUTS, "captions": tf.pad(CAPTIONS, [[0, 0], [0, 1], [0, 3]])}
    terms, gradients = loss_and_gradients(model, INPUTS)
    padded_terms, padded_gradients = loss_and_gradients(model, padded)
    for name in terms:
        assert_close(terms[name], padded_terms[name], roundings=FORWARD, what=name)
    assert_gradients_close(gradients, padded_gradients, model)


def test_an_images_captions_together_or_apart_give_one_gradient(model):
    """Batching by `images` and by `captions` are the same computation."""
    if getattr(model.config, "penalty", "") == "arctic":
        pytest.skip("a sum over the batch is no mean")
    if getattr(model.config, "decode", "") == "sample":
        pytest.skip("every hypothesis samples for itself")
    _, together = loss_and_gradients(model, INPUTS)
    rows = [(b, n) for b in range(4) for n in range(3) if (b, n) != (3, 2)]
    apart = {
        **{name: tf.stack([INPUTS[name][b] for b, _ in rows]) for name in model.input_shapes},
        "captions": tf.stack([CAPTIONS[b, n : n + 1] for b, n in rows]),
    }
    _, separate = loss_and_gradients(model, apart)
    assert_gradients_close(together, separate, model)


def test_training_noise_is_a_function_of_the_step(model):
    def draw(step):
        _, gradients = loss_and_gradients(model, INPUTS, Noise(0, step, tf.range(4)))
        return gradients

    one, same, other = (draw(step) for step in (5, 5, 6))
    assert all(np.array_equal(x, y) for x, y in zip(one, same))
    assert not all(np.array_equal(x, y) for x, y in zip(one, other))


def test_a_training_step_lowers_the_loss(model):
    def loss():
        return float(tf.add_n(list(model.loss_terms(INPUTS, 11.0)[0].values())))

    before = loss()
    for _ in range(20):
        logs = model.train_step(INPUTS)
    assert loss() < before
    assert float(logs["filled"]) == pytest.approx(34 / 48)


def test_metrics_are_means_over_all_batches(model):
    """Batches of different size have the loss of both at once, not the mean of two means."""
    parts = [
        {key: value[rows] for key, value in INPUTS.items()} for rows in (slice(0, 1), slice(1, 4))
    ]
    for part in parts:
        logs = model.test_step(part)
    split = {name: float(value) for name, value in logs.items()}
    model.reset_metrics()
    whole = model.test_step(INPUTS)
    names = ["word_loss", "accuracy", "filled"]
    if getattr(model.config, "penalty", "") != "arctic":
        names.append("loss")
    for name in names:
        assert_close(split[name], whole[name], roundings=FORWARD, what=name)


def test_clipping_sees_the_whole_gradient_of_a_repeated_word():
    """Keras would clip the embedding's gradient by row, before it sums a word's occurrences."""
    captions = tf.concat([tf.fill([4, 1, 30], 5), tf.fill([4, 1, 1], END)], axis=2)
    inputs = {**INPUTS, "captions": captions}
    model = build_captioner(
        replace(SMALL, state_dropout=0.0, output_dropout=0.0), V, shapes_for(SMALL), seed=3
    )
    model.compile(keras.optimizers.SGD(1.0, global_clipnorm=0.1))
    before = [weight.numpy() for weight in model.trainable_variables]
    model.train_step(inputs)
    step = np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(before, model.trainable_variables)))
    assert_close(step, 0.1, roundings=model.count_params())  # a sum of so many squares


def test_weights_come_from_the_seed():
    one, same, other = (
        build_captioner(SMALL, V, shapes_for(SMALL), seed).get_weights() for seed in (1, 1, 2)
    )
    assert all(np.array_equal(x, y) for x, y in zip(one, same))
    assert not all(np.array_equal(x, y) for x, y in zip(one, other))


def test_parameter_count_of_the_reports_attention_model():
    preset = config.load(config.CONFIGS / "flickr8k_report_attention.yaml").model
    model = build_captioner(preset, 8911, {"features": (7, 7, 2048)}, seed=0)
    # Keras' LSTM has one bias where PyTorch's has two.
    assert model.count_params() == 10_100_481 + 1025 * 8911 - 2048


def test_parameter_count_of_the_reports_baseline():
    preset = config.load(config.CONFIGS / "flickr8k_report_show_and_tell.yaml").model
    model = build_captioner(preset, 7698, {"features": (7, 7, 2048)}, seed=0)
    # PyTorch's LSTM has two biases where Keras' has one.
    assert model.count_params() + 2 * 1024 == 524_544 + 2 * 526_336 + 513 * 7698 == 5_526_290


@pytest.mark.parametrize(
    "variant",
    ["soft, paper", "hard, paper", "show and tell", *(v for v in VARIANTS if "areas" in v)],
)
def test_mixed_precision_trains(variant):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = build_captioner(VARIANTS[variant], V, shapes_for(VARIANTS[variant]), seed=3)
        optimizer = keras.mixed_precision.LossScaleOptimizer(keras.optimizers.Adam())
        model.compile(optimizer)
        losses = []
        for _ in range(30):
            model.reset_metrics()
            losses.append(float(model.train_step(INPUTS)["word_loss"]))
        assert losses[-1] < losses[0]
        assert model.trainable_variables[0].dtype == tf.float32
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_grid_boxes_tile_the_picture():
    boxes = grid_boxes(2, 4).numpy()
    assert_close(boxes[5], [0.5, 0.25, 1, 0.5], roundings=1)
    assert_close(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).sum(), 1, roundings=8)


def test_an_image_gets_the_same_captions_alone_and_among_64(model):
    model.set_weights([4 * weight for weight in model.get_weights()])
    inputs = {
        name: tf.tile(value, [16] + [1] * (value.shape.rank - 1))
        for name, value in model.inputs_of(INPUTS).items()
    }
    inputs["features"] *= tf.exp(tf.random.stateless_uniform([64, 1, 1, 1], [5, 6], -1, 2))
    generate = caption_function(model, config.Decoding(max_length=9, beam=3), best=3)
    found = generate(inputs)
    assert found["captions"].shape == [64, 3, 9] and found["attention"].shape[:2] == [64, 9]
    lengths = np.count_nonzero(found["captions"][:, 0], axis=-1)
    for b in (np.argmin(lengths), np.argmax(lengths), 63):
        alone = generate({name: value[b : b + 1] for name, value in inputs.items()})
        # Only the first ones are compared: the scores of others may be equal.
        np.testing.assert_array_equal(alone["captions"][0, 0], found["captions"][b, 0])
        for name in ("scores", "attention"):
            assert_close(alone[name][0], found[name][b], roundings=SEARCH, what=name)
