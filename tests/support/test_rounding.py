"""The comparison that other tests rely on: roundings pass, errors do not."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.rounding import EPSILON, MOST_ROUNDINGS, assert_close

RANDOM = np.random.default_rng(0)
TERMS = RANDOM.normal(size=[40, 300]).astype(np.float32)  # [sums, terms of each]
SUMS = TERMS.sum(axis=1)


def refused(*arguments, match="", **settings):
    with pytest.raises(AssertionError, match=match):
        assert_close(*arguments, **settings)


def test_another_order_of_the_terms_is_a_rounding():
    order = RANDOM.permutation(TERMS.shape[1])
    one_by_one = np.cumsum(TERMS[:, order], axis=1, dtype=np.float32)[:, -1]
    assert np.any(one_by_one != SUMS)
    assert_close(one_by_one, SUMS, roundings=300)


@pytest.mark.parametrize("error", [1e-3, -1e-3])
def test_an_error_of_a_thousandth_fails(error):
    """It fails even where as many roundings are allowed as possible."""
    refused(SUMS * (1 + error), SUMS, roundings=MOST_ROUNDINGS)
    one = SUMS.copy()
    one[np.argmax(np.abs(one))] *= 1 + error
    refused(one, SUMS, roundings=MOST_ROUNDINGS, match="1 of 40 elements")
    refused(-3.75 * (1 + error), -3.75, roundings=MOST_ROUNDINGS)


def test_an_error_in_one_term_of_a_sum_fails():
    wrong = TERMS.copy()
    wrong[3, np.argmax(np.abs(TERMS[3]))] *= 1.001
    refused(wrong.sum(axis=1), SUMS, roundings=300, match=r"array\[3\]")


def test_so_many_roundings_that_they_hide_an_error_are_refused():
    refused(SUMS, SUMS, roundings=MOST_ROUNDINGS + 1, match="would hide")
    refused(SUMS, SUMS, roundings=0)
    assert MOST_ROUNDINGS * EPSILON < 1e-3 / 4


def test_sums_that_cancel_are_compared_on_the_scale_of_their_terms():
    """They pass beside larger elements of the tensor, or alone with `terms` given."""
    cancelled = np.float32([0.1 + 0.2 - 0.3, 1]), np.float32([0, 1])
    assert_close(*cancelled, roundings=3)
    assert_close(1e-7, 0.0, roundings=3, terms=0.3)
    refused(1e-7, 0.0, roundings=MOST_ROUNDINGS)
    refused(1e-7, 0.0, roundings=3, terms=0.1)
    assert_close([0.0, 0.0], 0, roundings=1)


def test_elements_may_be_compared_on_their_own_scale():
    assert_close([1e-6, 1e3], [1.001e-6, 1e3], roundings=9)
    refused([1e-6, 1e3], [1.001e-6, 1e3], roundings=9, terms=0)
    assert_close([1e-6, 1e3], [1e-6 * (1 + 8 * EPSILON), 1e3], roundings=9, terms=0)


def test_the_bound_is_roundings_times_epsilon_times_scale():
    expected = np.float64([1, -2, 8])
    for size in (1e-20, 1.0, 1e20):
        assert_close(size * (expected + 9 * 8 * EPSILON), size * expected, roundings=9.1)
        refused(size * (expected + 9 * 8 * EPSILON), size * expected, roundings=8.8)
    half = float(np.finfo(np.float16).eps)
    assert_close([1 + half], [1.0], roundings=1, epsilon=half)


def test_different_shapes_fail():
    refused([1.0, 2.0], [[1.0, 2.0]], roundings=1, match=r"shape \(2,\) beside \(1, 2\)")
    refused([1.0], [1.0, 1.0], roundings=1, match="shape")
    refused([1.0, 1.0], np.array(1.0), roundings=1, match="shape")
    assert_close([[1.0, 1.0]], 1, roundings=1)
    assert_close(np.zeros([0, 3]), np.zeros([0, 3]), roundings=1)


def test_infinities_and_nans_are_equal_only_to_themselves():
    infinite = [np.inf, -np.inf, 1.0]
    nothing = [np.nan, 1.0]
    assert_close(infinite, infinite, roundings=1)
    refused(infinite, [np.inf, np.inf, 1.0], roundings=9)
    refused(infinite, [np.inf, -1e38, 1.0], roundings=9, match="inf times")
    refused([np.inf, 1.001], [np.inf, 1.0], roundings=9)  # an infinity sets no scale
    refused(nothing, nothing, roundings=9)
    assert_close(nothing, nothing, roundings=1, equal_nan=True)
    refused([np.nan, 1.0], [1.0, 1.0], roundings=9, equal_nan=True)
    refused(nothing, [np.nan, 1.001], roundings=9, equal_nan=True)


def test_anything_that_numpy_takes_is_compared():
    for kind in (tf.constant, tf.Variable, np.float32, list, tuple):
        assert_close(kind([1.0, 2.0]), [1.0, 2.0], roundings=1)
    assert_close([tf.constant(1.0), 2.0], tf.constant([1.0, 2.0]), roundings=1)
    assert_close(tf.constant(1.0), 1, roundings=1)
    assert_close(tf.constant([1.0], tf.bfloat16), [1.0], roundings=1)


def test_the_message_names_the_worst_element():
    found = np.float32([[1, 2, 4], [1, 2, 4.001]])
    found[0, 0] += 1e-4
    message = r"^loss\[1, 2\]: 4\.00099993 beside 4, 2096\.\d times .* 100 are allowed \(2 of 6 "
    refused(found, np.float32([[1, 2, 4]] * 2), roundings=100, match=message, what="loss")
