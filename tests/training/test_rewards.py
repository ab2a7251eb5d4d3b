"""The reward of self-critical training: CIDEr-D."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from pycocoevalcap.cider.cider import Cider

from keras_sat.text.ids import END, PAD, UNKNOWN
from keras_sat.training.rewards import CiderReward
from tests.support.rounding import assert_close

CIDER = 4 * 5  # roundings: lengths of n-grams, references


def padded(ids):
    return [*ids, *[PAD] * (12 - len(ids))]


def as_text(ids):
    return " ".join(map(str, ids))


def test_the_reward_is_cider():
    """It is pycocoevalcap's, for captions that are scored together with their corpus."""
    random = np.random.default_rng(0)

    def draw():
        return [*random.choice([4, 5, 6, 7, 8, 9], random.integers(3, 9)).tolist(), END]

    corpus = [[draw() for _ in range(5)] for _ in range(12)]
    captions = [draw() for _ in range(12)]
    references = {image: [as_text(ids) for ids in truths] for image, truths in enumerate(corpus)}
    found = {image: [as_text(ids)] for image, ids in enumerate(captions)}
    _, expected = Cider().compute_score(references, found)
    scorer = CiderReward(corpus)
    truths = np.array([[padded(ids) for ids in each] for each in corpus])
    assert_close(
        scorer(np.array([[padded(ids)] for ids in captions]), truths)[:, 0],
        expected,
        roundings=CIDER,
    )
    # Several captions per image, and one image at a time: only the corpus decides words' weights.
    several = np.array([[padded(corpus[3][0]), padded(captions[3]), padded([])]])
    found = scorer(several, truths[3:4])[0]
    assert found[0] > found[1] and found[2] == 0
    assert_close(found[1], expected[3], roundings=CIDER)
    assert np.all(scorer(several, np.full_like(truths[:1], PAD)) == 0)


def test_several_devices_may_ask_at_once():
    random = np.random.default_rng(0)
    corpus = [random.integers(4, 40, [5, 12]).tolist() for _ in range(20)]
    scorer = CiderReward(corpus)
    batches = [random.integers(4, 40, [20, 5, 12]) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(scorer, batches, [np.array(corpus)] * 8))
    np.testing.assert_array_equal(together, [scorer(batch, np.array(corpus)) for batch in batches])


def test_the_unknown_word_is_worth_nothing():
    scorer = CiderReward([[[4, UNKNOWN, END]], [[5, 6, END]]])
    references = np.array([[[4, UNKNOWN, END]]])
    known, unknown, other = scorer(
        np.array([[[4, END, PAD], [4, UNKNOWN, END], [4, 6, END]]]), references
    )[0]
    assert known > unknown == other
