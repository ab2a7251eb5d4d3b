from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from keras_sat.decoding.agreement import agreement
from keras_sat.text.ids import PAD
from tests.support.rounding import assert_close


def by_hand(one, other):
    total = 0
    for n in range(1, 5):
        grams = [Counter(zip(*(caption[shift:] for shift in range(n)))) for caption in (one, other)]
        total += 2 * (grams[0] & grams[1]).total() / max(grams[0].total() + grams[1].total(), 1)
    return total / 4


@pytest.mark.parametrize("longest", [(9, 9), (2, 7), (1, 1)])
def test_agreement_counts_shared_ngrams(longest):
    """The captions use few words, so that n-grams recur.

    Some captions are empty or shorter than an n-gram.
    """
    random = np.random.default_rng(1)
    captions = [
        [random.integers(3, 6, random.integers(0, most + 1)).tolist() for _ in range(n)]
        for n, most in zip((40, 50), longest)
    ]
    padded = [tf.ragged.constant(each, tf.int32).to_tensor(PAD)[None] for each in captions]
    found = agreement(*padded).numpy()[0]
    assert_close(
        found, [[by_hand(one, other) for other in captions[1]] for one in captions[0]], roundings=4
    )
    np.testing.assert_array_equal(agreement(*reversed(padded)).numpy()[0], found.T)
    itself = np.diag(agreement(padded[0], padded[0]).numpy()[0])
    assert_close(itself, [min(len(caption), 4) / 4 for caption in captions[0]], roundings=4)
