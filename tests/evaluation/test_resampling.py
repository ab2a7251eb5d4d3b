import dataclasses

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu_scorer import BleuScorer

from keras_sat.evaluation.evaluation import Evaluation
from keras_sat.evaluation.resampling import interval, mean_score, resample
from keras_sat.evaluation.scorers import score
from keras_sat.utils.errors import UserError

WORDS = ["a", "red", "blue", "star", "ring", "is", "above", "below", "the", "small", "large"]


def corpus(images, seed=0, faults=3):
    """Captions that are one of their references with some words replaced."""
    generator = np.random.default_rng(seed)
    references = {
        f"{i:04}": [" ".join(generator.choice(WORDS, 9)) for _ in range(2)] for i in range(images)
    }
    captions = {}
    for image, (first, _) in references.items():
        words = np.array(first.split(), object)
        words[generator.integers(9, size=faults)] = generator.choice(WORDS, faults)
        captions[image] = " ".join(words[: generator.integers(5, 10)])
    return captions, references


def test_resampled_bleu_is_that_of_the_resampled_corpus():
    captions, references = corpus(30)
    scores = score(captions, references, ["bleu"], tokenise=False)
    generator = np.random.default_rng(5)  # draws as `resample` does with this seed
    samples = resample(scores, samples=4, seed=5)
    for number in range(4):
        scorer = BleuScorer(n=4)
        for image in generator.integers(30, size=30):
            scorer += captions[f"{image:04}"], references[f"{image:04}"]
        expected, _ = scorer.compute_score(option="closest")
        assert [samples[f"bleu{n}"][number] for n in (1, 2, 3, 4)] == pytest.approx(
            expected, abs=1e-12
        )
    assert np.ptp(samples["bleu4"]) > 0


def test_intervals_hold_the_score_and_shrink_with_the_images():
    widths = []
    for images in (25, 100, 400):
        scores = score(*corpus(images), ["bleu", "cider", "rouge"], tokenise=False)
        ends = {name: interval(samples) for name, samples in resample(scores).items()}
        assert all(low < scores[name].value < high for name, (low, high) in ends.items())
        widths.append({name: high - low for name, (low, high) in ends.items()})
    for name in widths[0]:
        # Four times the images halve the width.
        ratios = [widths[i][name] / widths[i + 1][name] for i in (0, 1)]
        assert all(1.5 < ratio < 2.7 for ratio in ratios), (name, widths)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(2).normal(size=400)
    mean = mean_score([[value] for value in values])
    half = 1.96 * values.std() / 20
    low, high = interval(resample({"mean": mean})["mean"])
    assert (low, high) == pytest.approx((mean.value - half, mean.value + half), abs=0.15 * half)


def test_means_over_what_images_have():
    mean = mean_score([[1.0, 0.0], [], [1.0]])
    assert mean.value == pytest.approx(2 / 3)
    np.testing.assert_array_equal(mean.each, [0.5, np.nan, 1.0])
    assert mean_score([[], []]) is None
    assert not np.isnan(interval(resample({"mean": mean})["mean"])).any(), (
        "even where a sample has nothing to judge"
    )


def evaluation_of(captions, references):
    scores = score(captions, references, ["bleu", "rouge"], tokenise=False)
    return Evaluation(captions, references, scores, {}, resample(scores))


def test_differences_are_paired():
    """A small gain on the same images is significant, although the intervals overlap."""
    captions, references = corpus(100)
    better = captions | {image: references[image][0] for image in list(captions)[::12]}
    good = evaluation_of(captions, references)
    best = evaluation_of(better, references)
    assert good.intervals["rouge"][1] > best.intervals["rouge"][0]
    difference, low, high = best.differences(good)["rouge"]
    assert (
        difference == pytest.approx(best.values["rouge"] - good.values["rouge"])
        and 0 < low < difference < high
    )
    assert good.differences(good) == {name: (0, 0, 0) for name in good.scores}
    fewer = dataclasses.replace(good, captions=dict(list(captions.items())[1:]))
    with pytest.raises(UserError, match="image 0000: not captioned by all"):
        best.differences(fewer)


def test_the_same_seed_gives_the_same_interval():
    scores = score(*corpus(20), ["bleu"], tokenise=False)
    first, again, other = (resample(scores, seed=seed)["bleu4"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
