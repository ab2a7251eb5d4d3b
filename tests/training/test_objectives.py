"""Distillation and self-critical training.

A student that equals its teacher has nothing to learn. The self-critical gradient is that of the
expected CIDEr-D.
"""

import dataclasses
import itertools
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sat import config
from keras_sat.data.reading import read_captions
from keras_sat.layers.noise import SILENT_TRAINING, Noise
from keras_sat.models import build_captioner
from keras_sat.models.step import Likelihood
from keras_sat.text.ids import END, PAD, UNKNOWN
from keras_sat.training.objectives import Distillation, SelfCritical, build_objective
from keras_sat.training.rewards import CiderReward
from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import write_sums
from tests.support.rounding import assert_close

V, LONGEST = 7, 3
FEATURES = tf.random.stateless_normal([1, 2, 2, 5], [1, 2])
ALL = [
    (*words, END)
    for n in range(LONGEST)
    for words in itertools.product((UNKNOWN, 4, 5, 6), repeat=n)
]
ALL += itertools.product((UNKNOWN, 4, 5, 6), repeat=LONGEST)  # captions without END
ALL = np.array([[*caption, *[PAD] * (LONGEST - len(caption))] for caption in ALL], np.int32)
# Roundings: steps forward and back, each with sums over embedding, state, channels and words.
GRADIENT = 2 * LONGEST * (4 + 6 + 5 + V)


def build(system, **changes):
    experiment = config.from_values(
        {"model": {"name": system, "embedding_size": 4, "state_size": 6, **changes}}
    )
    return build_captioner(experiment.model, V, {"features": (2, 2, 5)}, seed=1)


def reward(captions, references):
    """Maps each caption to a number in 0–1; zero where there are no references."""
    numbers = (captions * [5, 3, 2][: captions.shape[-1]]).sum(-1) % 7 / 7
    return (numbers * (references != PAD).any(axis=(1, 2))[:, None]).astype(np.float32)


def flat(gradients):
    return np.concatenate([np.ravel(tf.convert_to_tensor(gradient)) for gradient in gradients])


INPUTS = {
    "features": FEATURES,
    "captions": tf.constant([[[4, 5, END], [6, END, PAD]]]),
    "row": tf.constant([0]),
}


def taught(teacher, share):
    """The gradients of a model's weights: [with a teacher, without]."""
    model = build("areas")
    model.compile(keras.optimizers.Adam(), seed=1)
    objective = Distillation(lambda: teacher or model, share)
    gradients = []
    objective.prepare(None, None)
    for each in (objective, Likelihood()):
        with tf.GradientTape() as tape:
            terms, _, _ = each.loss_terms(model, INPUTS, each.count(INPUTS), SILENT_TRAINING)
            loss = tf.add_n(list(terms.values()))
        gradients.append(
            flat(tape.gradient(loss, model.trainable_variables, unconnected_gradients="zero"))
        )
    return gradients


def test_a_student_equal_to_its_teacher_has_nothing_to_learn():
    """There is no gradient through the teacher's probabilities either."""
    with_teacher, without = taught(None, 1.0)
    assert np.abs(without).max() > 1e-2
    assert_close(with_teacher, 0, roundings=GRADIENT, terms=np.abs(without).max())


def test_gradients_mix_by_the_teachers_share():
    """With half the target from each, the gradient is the mean of both."""
    teacher = build("soft")
    half, none = taught(teacher, 0.5)
    all_of_it, _ = taught(teacher, 1.0)
    assert_close(half, (none + all_of_it) / 2, roundings=GRADIENT)


@pytest.mark.parametrize(
    "facts",
    [
        {"vocabulary": "0" * 16},
        {"encoder": {"name": "VGG19"}},
        {"proposals": {"most": 60, "image_size": None, "feature_shape": None}},
        {"inputs": {"features": [8, 8, 128], "boxes": [60, 4]}},
    ],
)
def test_a_teacher_of_other_data_is_refused(facts, run, changed, tmp_path):
    teacher = shutil.copytree(run.folder, tmp_path / "teacher")
    known = vars(run.facts)
    if "encoder" in facts:
        facts = {"encoder": known["encoder"] | facts["encoder"]}
    (teacher / "run.json").write_text(json.dumps(known | facts))
    write_sums(teacher)
    student = dataclasses.replace(run, experiment=changed(train={"teachers": (str(teacher),)}))
    (fact,) = facts
    with pytest.raises(
        UserError, match=f"train.teachers: .*scenes: its {fact} .*does not match that of {teacher}"
    ):
        build_objective(student).prepare(None, None)


@pytest.mark.parametrize("system", ["soft", "show_and_tell", "areas"])
def test_the_gradient_is_that_of_the_expected_reward(system):
    model = build(system)
    samples = 40_000
    inputs = {"features": FEATURES, "captions": tf.constant([[[4, END]]]), "row": tf.constant([0])}
    weights = model.trainable_variables
    with tf.GradientTape() as tape:
        log_probs, _ = model({**inputs, "captions": ALL[None]})
        each = tf.reduce_sum(
            tf.where(ALL == PAD, 0.0, tf.gather(log_probs[0], ALL, batch_dims=2)), axis=-1
        )
        expected_reward = tf.reduce_sum(tf.exp(each) * reward(ALL[None], np.ones([1, 1, 1]))[0])
    # ALL holds every possible caption.
    assert_close(tf.reduce_sum(tf.exp(each)), 1, roundings=len(ALL) + GRADIENT)
    exact = -flat(tape.gradient(expected_reward, weights, unconnected_gradients="zero"))

    objective = SelfCritical(samples, LONGEST, reward)
    with tf.GradientTape() as tape:
        terms, captions, _ = objective.loss_terms(
            model, inputs, objective.count(inputs), Noise(1, 0, inputs["row"])
        )
    estimate = flat(tape.gradient(terms["cider"], weights, unconnected_gradients="zero"))
    assert captions.shape == [1, samples, LONGEST]
    np.testing.assert_allclose(terms["cider"], -expected_reward, atol=0.01)
    assert np.linalg.norm(estimate - exact) < 0.1 * np.linalg.norm(exact)


def test_training_raises_the_reward():
    """Rows that pad a batch have no influence."""
    captions = tf.constant([[[4, END]], [[PAD, PAD]]])
    filled_up = {
        "features": tf.repeat(FEATURES, 2, axis=0),
        "captions": captions,
        "row": tf.constant([0, 1]),
    }
    alone = {name: tensor[:1] for name, tensor in filled_up.items()}
    losses = []
    weights = []
    for batch in (filled_up, alone):
        model = build("soft")
        # Adam would scale up gradients that are nothing but roundings.
        sgd = keras.optimizers.SGD(0.3, momentum=0.9)
        model.compile(sgd, SelfCritical(8, LONGEST, reward), seed=1)
        step = tf.function(
            lambda model=model, batch=batch: model.train_step(batch), autograph=False
        )
        for _ in range(60):
            losses.append(float(step()["loss"]))
            model.reset_metrics()
        weights.append(model.get_weights())
    assert losses[59] < losses[0] - 0.1
    for a, b in zip(*weights):
        # Roundings: 60 steps, each with sums over states and samples. Compared on the scale of
        # kernels: a bias that cancels in the softmax changes by roundings of that size.
        assert_close(a, b, roundings=60 * 30, terms=max(0.1, np.max(np.abs(b))))


def test_the_corpus_is_the_training_captions(data, vocabulary):
    objective = SelfCritical(2, 25)
    objective.prepare(data, vocabulary)
    corpus = [
        vocabulary.encode(captions, 25).to_list() for _, captions in read_captions(data, "train")
    ]
    assert len(corpus) == data.images("train")
    assert objective._reward.document_frequency == CiderReward(corpus).document_frequency
