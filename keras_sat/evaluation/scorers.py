"""BLEU, METEOR, ROUGE-L, CIDEr-D and SPICE, all computed by pycocoevalcap."""

import functools
import sys

import numpy as np
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from keras_sat.evaluation import penn_treebank
from keras_sat.evaluation.meteor import meteor
from keras_sat.evaluation.resampling import Score, mean_score
from keras_sat.evaluation.spice import models_are_there, spice
from keras_sat.utils.errors import UserError

METRICS = ("bleu", "meteor", "rouge", "cider")
KNOWN = (*METRICS, "spice")
LABELS = {
    "bleu1": "BLEU-1",
    "bleu2": "BLEU-2",
    "bleu3": "BLEU-3",
    "bleu4": "BLEU-4",
    "meteor": "METEOR",
    "rouge": "ROUGE-L",
    "cider": "CIDEr-D",
    "spice": "SPICE",
}
_NO_SPICE_MODELS = (
    "its models (384 MB) are not there; "
    "to download them: python -m pycocoevalcap.spice.get_stanford_models"
)


def score(captions, references, metrics=METRICS, tokenise=True):
    """Scores captions, one per image.

    BLEU and METEOR are scores of the corpus, the others means over the images. CIDEr's word weights
    come from the references of these images. They do not change when images are resampled. With
    one image every weight is 0, so CIDEr is left out, with a note on stderr.

    Args:
        captions: {image id: caption}.
        references: {image id: [caption, …]} with at least the same ids.
        metrics: names from `KNOWN`.
        tokenise: use the Penn Treebank tokeniser, as for published scores; it needs Java.
            Otherwise words are split at spaces.
    Returns:
        {"bleu1": `Score`, …}, whose images are in the order of their ids. The largest possible
        value is 1, that of CIDEr-D 10.
    Raises:
        UserError: there are no captions, an image has no references, a metric is unknown, or there
            is no Java or are no models for a metric that needs them.
    """
    check_metrics(metrics)
    if not captions:
        raise UserError("there are no captions to score")
    for image in captions:
        if not references.get(image):
            raise UserError(f"image {image}: has no reference captions; is this the right split?")
    ids = sorted(captions)
    references = {image: list(references[image]) for image in ids}
    captions = {image: [captions[image]] for image in ids}
    if tokenise:
        references = penn_treebank.tokenise(references)
        captions = penn_treebank.tokenise(captions)
    scores = {}
    for metric in metrics:
        scores |= _SCORERS[metric](references, captions)
    return scores


def check_metrics(metrics):
    """Checks that metrics can be computed.

    Args:
        metrics: their names.
    Returns:
        The same, as a tuple.
    Raises:
        UserError: names the first metric that cannot be computed.
    """
    for metric in metrics:
        if metric not in KNOWN:
            raise UserError(f"--metrics {metric}: unknown; known: {', '.join(KNOWN)}")
        if metric == "spice" and not models_are_there():
            raise UserError(f"--metrics spice: {_NO_SPICE_MODELS}")
    return tuple(metrics)


def default_metrics():
    """(the metrics that are computed by default, a note on what they leave out)."""
    if models_are_there():
        return KNOWN, ""
    return METRICS, f"SPICE is left out: {_NO_SPICE_MODELS}"


# ---- The scorers. Each takes tokenised references {image id: [caption, …]} and captions
# {image id: [caption]}, and returns {score name: `Score`}.


def _bleu(references, captions):
    scorer = BleuScorer(n=4)
    for image, caption in captions.items():
        scorer += caption[0], references[image]
    values, _ = scorer.compute_score(option="closest")
    statistics = np.array([_bleu_statistics(**counts) for counts in scorer.ctest], np.float64)
    scores = {}
    for n in range(1, 5):
        of_sums = functools.partial(_bleu_of_sums, n)
        scores[f"bleu{n}"] = Score(values[n - 1], statistics, of_sums)
    return scores


def _bleu_statistics(correct, guess, testlen, reflen):
    """A segment's ten numbers that are summed over a corpus.

    Args:
        correct: the matched n-grams for n = 1 … 4.
        guess: the caption's n-grams for n = 1 … 4.
        testlen: the caption's length.
        reflen: the references' lengths, of which the closest one counts.
    """
    _, closest = min((abs(length - testlen), length) for length in reflen)
    return [*correct, *guess, testlen, closest]


def _bleu_of_sums(n, sums):
    """BLEU-n of a corpus, with pycocoevalcap's guards against a division by zero.

    Args:
        n: the longest n-grams that count.
        sums: [..., 10], the sums of `_bleu_statistics`.
    Reference:
        Papineni et al. 2002, "BLEU", section 2.3.
    """
    small = 1e-9
    tiny = 1e-15
    correct = sums[..., :n]
    guess = sums[..., 4 : 4 + n]
    precisions = (correct + tiny) / (guess + small)
    ratio = (sums[..., 8] + tiny) / (sums[..., 9] + small)
    brevity_penalty = np.exp(np.minimum(0, 1 - 1 / ratio))
    return np.prod(precisions, axis=-1) ** (1 / n) * brevity_penalty


def _meteor(references, captions):
    return {"meteor": meteor(references, captions)}


def _rouge(references, captions):
    _, each = Rouge().compute_score(references, captions)
    return {"rouge": _mean_of(each)}


def _cider(references, captions):
    if len(captions) == 1:
        # Every word is in the references of all images, so it has no weight: the score is always 0.
        print("note: CIDEr-D cannot be measured on one image; it is left out", file=sys.stderr)
        return {}
    _, each = Cider().compute_score(references, captions)
    return {"cider": _mean_of(each)}


def _spice(references, captions):
    return {"spice": spice(references, captions)}


def _mean_of(each):
    """The `Score` of one value per image."""
    return mean_score([[value] for value in each])


_SCORERS = {"bleu": _bleu, "meteor": _meteor, "rouge": _rouge, "cider": _cider, "spice": _spice}
