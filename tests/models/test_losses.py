import numpy as np
import tensorflow as tf

from keras_sat.models.losses import cross_entropy, distillation, doubly_stochastic_penalty
from tests.support.rounding import EPSILON, assert_close

# The attention of 3 steps over a grid of 2 × 2 cells.
EXAMPLE = [
    [0.1, 0.4, 0.2, 0.3],
    [0.1, 0.1, 0.1, 0.7],
    [0.0, 0.4, 0.3, 0.3],
]
ONE_CELL = [[1.0, 0.0, 0.0, 0.0]] * 3


def penalty(attention, normalisation="paper", captions=None):
    attention = tf.constant(attention, tf.float32)[None, None]  # [1, 1, T, L]
    captions = tf.fill(tf.shape(attention)[:3], 5) if captions is None else captions
    return float(doubly_stochastic_penalty(attention, captions, normalisation))


def test_the_penalty_of_worked_examples():
    assert_close(penalty(EXAMPLE), 0.9, roundings=12)
    assert_close(penalty(ONE_CELL), 7, roundings=12)


def test_attention_on_one_cell_has_the_largest_penalty():
    for attention in np.random.default_rng(0).dirichlet([0.1] * 4, size=(200, 3)):
        assert penalty(attention) <= 7 * (1 + 12 * EPSILON)


def test_normalisations_differ_by_regions_and_captions():
    rng = np.random.default_rng(1)
    attention = tf.constant(rng.dirichlet(np.ones(6), size=(2, 2, 5)), tf.float32)
    captions = tf.fill([2, 2, 5], 4)
    count = 4
    regions = 6
    paper, arctic, mean = (
        doubly_stochastic_penalty(attention, captions, name) for name in ("paper", "arctic", "mean")
    )
    paper = paper / count
    mean = mean / count
    assert_close(paper, regions * mean, roundings=120)  # 4 captions of 5 words, 6 regions
    assert_close(arctic, count * mean, roundings=120)


def test_padding_counts_in_no_loss():
    captions = tf.constant([[[5, 6, 2, 0, 0]]])
    padded = np.concatenate([EXAMPLE, [[0.7, 0.1, 0.1, 0.1], [0.25] * 4]])
    assert_close(penalty(padded, captions=captions), 0.9, roundings=20)
    log_probs = tf.math.log_softmax(tf.random.stateless_normal([1, 1, 5, 9], [1, 2]))
    cut = cross_entropy(log_probs[:, :, :3], captions[..., :3])
    assert_close(cross_entropy(log_probs, captions), cut, roundings=5)
    empty = tf.zeros([1, 1, 3], tf.int32)
    assert penalty(EXAMPLE, captions=empty) == 0


def test_label_smoothing_is_a_mixture_of_targets():
    logits = tf.random.stateless_normal([2, 1, 3, 9], [3, 4])
    never = tf.constant([-1e9, -1e9] + [0.0] * 7)
    log_probs = tf.math.log_softmax(logits + never)
    captions = tf.constant([[[4, 5, 2]], [[8, 2, 0]]])
    targets = 0.9 * tf.one_hot(captions, 9) + 0.1 / 7 * tf.cast(never == 0, tf.float32)
    mask = tf.cast(captions != 0, tf.float32)[..., None]
    expected = -tf.reduce_sum(targets * mask * tf.maximum(log_probs, -1e8))
    assert_close(cross_entropy(log_probs, captions, 0.1), expected, roundings=54)  # 6 words of 9


def test_distillation_of_certainty_is_cross_entropy():
    log_probs = tf.math.log_softmax(tf.random.stateless_normal([2, 1, 3, 9], [3, 4]))
    captions = tf.constant([[[4, 5, 2]], [[8, 2, 0]]])
    certain = tf.math.log(tf.one_hot(captions, 9) + 1e-30)
    assert_close(
        distillation(log_probs, certain, captions), cross_entropy(log_probs, captions), roundings=54
    )
