"""Comparison of float32 numbers that were computed in two ways.

Float32 keeps 24 binary digits: every operation may be wrong by EPSILON / 2 of its result.
Processors, numbers of threads and batch shapes change the order in which terms are summed, so the
same sum gets other roundings. Two things decide how far two results may differ: how many roundings
lie between them, and how large the rounded numbers are.
"""

import numpy as np

EPSILON = float(np.finfo(np.float32).eps)
# A relative error of 1e-3 must fail. This many roundings allow a quarter of it.
MOST_ROUNDINGS = 2000


def assert_close(
    found,
    expected,
    roundings,
    *,
    terms=None,
    equal_nan=False,
    epsilon=EPSILON,
    what="",
):
    """Fails where an element differs by more than `epsilon * roundings * scale`.

    The scale of an element is the larger side of it, and at least `terms`.

    Args:
        found: anything that NumPy takes. Infinities are equal only to themselves.
        expected: as `found`, of the same shape; a plain number is compared with every element.
        roundings: the total length of the sums in between, where one follows another; at most
            MOST_ROUNDINGS. Each element of the product of a [7, 20] and a [20, 50] matrix is a sum
            of 20 products, so `roundings=20`. Weights after 25 steps of training, each by a
            gradient that is summed over 40 words, have 25 times 40 roundings: `roundings=1000`.
        terms: the size of the terms that are summed. Where they cancel, the sum is smaller than its
            error. The default is the largest finite number of both arrays, since the elements of a
            tensor are sums of terms of about that size. Give another size where a whole tensor
            cancels, or where its elements are of different kinds; with 0, each element has its own.
        equal_nan: whether NaN equals NaN.
        epsilon: the distance from 1 to the next number of the type, if it is not float32.
        what: a name for the message.

    Raises:
        AssertionError: with the worst element.
    """
    __tracebackhide__ = True
    assert 0 < roundings <= MOST_ROUNDINGS, f"roundings={roundings} would hide an error of 1e-3"
    found, expected = _arrays(found, expected)
    units = differences(found, expected, terms, equal_nan, epsilon)
    if units.size and not np.all(units <= roundings):
        raise AssertionError(_message(found, expected, units, roundings, what))


def differences(found, expected, terms=None, equal_nan=False, epsilon=EPSILON):
    """Returns each element's difference in units of epsilon times its scale.

    It is infinite where no rounding explains the difference.
    """
    same = (found == expected) | (equal_nan & np.isnan(found) & np.isnan(expected))
    finite = np.isfinite(found) & np.isfinite(expected)
    sizes = np.where(finite, np.maximum(np.abs(found), np.abs(expected)), 0.0)
    scale = np.maximum(sizes, np.max(sizes, initial=0.0) if terms is None else terms)
    with np.errstate(invalid="ignore", divide="ignore"):
        units = np.abs(found - expected) / (epsilon * scale)
    return np.where(same, 0.0, np.where(finite, units, np.inf))


def _arrays(found, expected):
    """Both arrays in float64, which represents every float32 exactly."""
    number = np.isscalar(expected)
    found = np.asarray(found, np.float64)
    expected = np.asarray(expected, np.float64)
    if number:
        expected = np.broadcast_to(expected, found.shape)
    if found.shape != expected.shape:
        raise AssertionError(f"shape {found.shape} beside {expected.shape}")
    return found, expected


def _message(found, expected, units, roundings, what):
    worst = np.unravel_index(np.argmax(units), units.shape)
    place = ", ".join(map(str, worst))
    return (
        f"{what or 'array'}[{place}]: {found[worst]:.9g} beside {expected[worst]:.9g}, "
        f"{units[worst]:.1f} times epsilon times scale apart; {roundings} are allowed "
        f"({np.sum(~(units <= roundings))} of {units.size} elements differ by more)"
    )
