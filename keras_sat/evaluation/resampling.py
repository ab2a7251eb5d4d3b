"""Confidence intervals of scores: the bootstrap over images.

All scores here are functions of sums over the images: BLEU of n-gram counts, METEOR of match
statistics, the others of values and their number. So a resampled corpus is scored by weighting each
image's statistics, and nothing has to be counted again.

Reference: Efron & Tibshirani 1993, "An introduction to the bootstrap"; for scores of corpora Koehn
2004, "Statistical significance tests for machine translation evaluation", EMNLP.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Score:
    """A score of a corpus.

    Attributes:
        value: the corpus' score.
        statistics: float64 [images, K], whose sums over images determine the score.
        of_sums: function from sums [..., K] to scores [...]. An image's own statistics give the
            image's score, NaN where there is nothing to judge.
    """

    value: float
    statistics: np.ndarray
    of_sums: Callable

    @property
    def each(self):
        """The score of each image alone, [images]."""
        return self.of_sums(self.statistics)


def mean_score(values):
    """The mean of all values of all images.

    Args:
        values: a list of numbers for each image, which may be empty.
    Returns:
        A `Score`, or None if no image has a value.
    """
    statistics = np.array([(sum(each), len(each)) for each in values], np.float64)
    sums = statistics.sum(axis=0)
    return Score(float(_mean(sums)), statistics, _mean) if sums[1] else None


def _mean(sums):
    with np.errstate(invalid="ignore"):
        return sums[..., 0] / sums[..., 1]


def resample(scores, samples=SAMPLES, seed=1):
    """Scores of corpora that are drawn from the images with replacement.

    The draws depend on the number of images and the seed alone. Two systems on the same images are
    scored on the same corpora, so the differences of their samples are those of a paired bootstrap.

    Args:
        scores: {name: `Score`} of the same images.
        samples: how many corpora to draw.
        seed: of the random generator.
    Returns:
        {name: float64 [samples]}.
    """
    matrix = np.concatenate([score.statistics for score in scores.values()], axis=1)
    images = len(matrix)
    generator = np.random.default_rng(seed)
    sums = []
    for _ in range(samples):
        counts = np.bincount(generator.integers(images, size=images), minlength=images)
        sums.append(counts @ matrix)
    sums = np.stack(sums)  # [samples, ΣK]
    ends = np.cumsum([score.statistics.shape[1] for score in scores.values()])
    parts = np.split(sums, ends[:-1], axis=1)
    return {name: score.of_sums(part) for (name, score), part in zip(scores.items(), parts)}


def interval(values):
    """(low, high): the middle 95% of the values lie between them."""
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
