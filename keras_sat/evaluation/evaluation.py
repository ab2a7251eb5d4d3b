"""Everything that is measured of one system on one split."""

from dataclasses import dataclass

from keras_sat.evaluation.resampling import interval, mean_score, resample
from keras_sat.evaluation.scorers import score
from keras_sat.utils.errors import UserError


@dataclass(frozen=True)
class Evaluation:
    """A system's captions and how good they are.

    captions: {image id: caption}, in the order of the ids. references: {image id: (caption, …)}. scores: {name: `Score`},
    their images in that order. facts: {name: number} that are no sums over images. samples: what `resample` makes of scores.
    """

    captions: dict
    references: dict
    scores: dict
    facts: dict
    samples: dict

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
        return {
            name: dict(zip(self.captions, score.each.tolist()))
            for name, score in self.scores.items()
        }

    def differences(self, other):
        """{name: (difference to the other's score, low, high)}, paired: over the same resampled corpora.

        Raises:
            UserError: the two systems captioned different images.
        """
        if self.captions.keys() != other.captions.keys():
            strange = min(self.captions.keys() ^ other.captions.keys())
            raise UserError(
                f"image {strange}: not captioned by all systems; those side by side must share their images"
            )
        return {
            name: (
                score.value - other.scores[name].value,
                *interval(self.samples[name] - other.samples[name]),
            )
            for name, score in self.scores.items()
            if name in other.scores
        }


def evaluation_of(captions, references, metrics, values, facts):
    """The `Evaluation` of captions.

    Args:
        captions: {image id: caption}. references: {image id: [caption, …]}. metrics: see `scorers.score`.
        values: {name: {image id: [number, …]}}, further scores that are means over all these numbers.
        facts: {name: number}.
    """
    captions = dict(sorted(captions.items()))
    scores = score(captions, references, metrics)
    means = {
        name: mean_score([of_image.get(image, []) for image in captions])
        for name, of_image in values.items()
    }
    scores |= {name: mean for name, mean in means.items() if mean}
    return Evaluation(
        captions, {image: references[image] for image in captions}, scores, facts, resample(scores)
    )
