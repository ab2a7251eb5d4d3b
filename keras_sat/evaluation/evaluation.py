"""Everything that is measured about one system on one split."""

from dataclasses import dataclass

from keras_sat.evaluation import scorers
from keras_sat.evaluation.resampling import interval, mean_score, resample
from keras_sat.utils.errors import UserError


@dataclass(frozen=True)
class Evaluation:
    """A system's captions and how good they are.

    Attributes:
        captions: {image id: caption}, in the order of the ids.
        references: {image id: (caption, …)}.
        scores: {name: `Score`}, whose images are in the order of the captions.
        facts: {name: number}, for numbers that are no sums over images.
        samples: {name: float64 [samples]}, the result of `resample(scores)`.
        split_images: the number of images of the split, of which the captions may cover a part;
            None for a run, whose images are chosen by --limit.
    """

    captions: dict
    references: dict
    scores: dict
    facts: dict
    samples: dict
    split_images: int | None = None

    @property
    def values(self):
        """{name: number} of all scores and facts."""
        return {name: score.value for name, score in self.scores.items()} | self.facts

    @property
    def intervals(self):
        """{name: (low, high)} of the scores: 95% confidence intervals."""
        return {name: interval(samples) for name, samples in self.samples.items()}

    def each(self):
        """{name: {image id: the image's score, NaN where there is nothing to judge}}."""
        scores = {}
        for name, score in self.scores.items():
            scores[name] = dict(zip(self.captions, score.each.tolist()))
        return scores

    def differences(self, other):
        """The differences of the scores to another `Evaluation`'s, where both have them.

        They are paired: both systems are scored on the same resampled corpora.

        Returns:
            {name: (difference, low, high)}.
        Raises:
            UserError: the two systems captioned different images.
        """
        if self.captions.keys() != other.captions.keys():
            image = min(self.captions.keys() ^ other.captions.keys())
            raise UserError(
                f"image {image}: not captioned by all systems; "
                "those side by side must share their images"
            )
        differences = {}
        for name, score in self.scores.items():
            if name in other.scores:
                low, high = interval(self.samples[name] - other.samples[name])
                differences[name] = (score.value - other.scores[name].value, low, high)
        return differences


def evaluation_of(captions, references, metrics, values, facts):
    """Scores captions.

    Args:
        captions: {image id: caption}.
        references: {image id: [caption, …]}.
        metrics: see `scorers.score`.
        values: {name: {image id: [number, …]}}, further scores: the means over all these numbers.
        facts: {name: number}.
    Returns:
        The `Evaluation`.
    """
    captions = dict(sorted(captions.items()))
    scores = scorers.score(captions, references, metrics)
    for name, of_image in values.items():
        mean = mean_score([of_image.get(image, []) for image in captions])
        if mean:
            scores[name] = mean
    references = {image: references[image] for image in captions}
    return Evaluation(captions, references, scores, facts, resample(scores))
