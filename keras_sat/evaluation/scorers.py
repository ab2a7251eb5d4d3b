"""BLEU, METEOR, ROUGE-L, CIDEr-D and SPICE, all computed by pycocoevalcap."""

import functools
import subprocess

import numpy as np

from keras_sat.evaluation.java import java_on_path
from keras_sat.evaluation.resampling import Score, mean_score
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
_SPICE_MODELS = "its models (384 MB) are not there; to download them: python -m pycocoevalcap.spice.get_stanford_models"


def score(captions, references, metrics=METRICS, tokenise=True):
    """Scores one caption an image.

    BLEU and METEOR are those of the corpus, the others means over the images. CIDEr's word weights come from the references
    of these images; they stay as they are when images are resampled.

    Args:
        captions: {image id: caption}. references: {image id: [caption, …]} with at least the same ids.
        metrics: names from `KNOWN`.
        tokenise: by the Penn Treebank tokeniser (needs Java), as published scores are; False: words are split at spaces.
    Returns:
        {"bleu1": `Score`, …}, its images in the order of their ids; fractions of 1 (CIDEr-D: of 10 at most).
    Raises:
        UserError: no captions, an image without references, an unknown metric, no Java or no models where they are needed.
    """
    check_metrics(metrics)
    if not captions:
        raise UserError("there are no captions to score")
    if missing := [image for image in captions if not references.get(image)]:
        raise UserError(f"image {missing[0]}: has no reference captions; is this the right split?")
    ids = sorted(captions)
    references = {image: list(references[image]) for image in ids}
    captions = {image: [captions[image]] for image in ids}
    if tokenise:
        references, captions = _penn_treebank(references), _penn_treebank(captions)
    scores = {}
    for metric in metrics:
        scores |= _SCORERS[metric](references, captions)
    return scores


def check_metrics(metrics):
    """The metrics, if all of them can be computed; else a `UserError` that names the first that cannot."""
    for metric in metrics:
        if metric not in KNOWN:
            raise UserError(f"--metrics {metric}: unknown; known: {', '.join(KNOWN)}")
        if metric == "spice" and not spice_is_there():
            raise UserError(f"--metrics spice: {_SPICE_MODELS}")
    return tuple(metrics)


def default_metrics():
    """What is computed unless said otherwise, and a note for the user of what is left out."""
    return (KNOWN, "") if spice_is_there() else (METRICS, f"SPICE is left out: {_SPICE_MODELS}")


def spice_is_there():
    """Whether SPICE's models are where pycocoevalcap looks for them (it would download them unasked)."""
    from importlib import resources

    library = resources.files("pycocoevalcap") / "spice" / "lib"
    return all(
        (library / f"stanford-corenlp-3.6.0{part}.jar").is_file() for part in ("", "-models")
    )


def _bleu(references, captions):
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=4)
    for image, caption in captions.items():
        scorer += caption[0], references[image]
    values, _ = scorer.compute_score(option="closest")
    statistics = np.array([_bleu_summands(**counts) for counts in scorer.ctest], np.float64)
    return {
        f"bleu{n}": Score(values[n - 1], statistics, functools.partial(_bleu_of_sums, n))
        for n in range(1, 5)
    }


def _bleu_summands(correct, guess, testlen, reflen):
    closest = min((abs(length - testlen), length) for length in reflen)[1]
    return [*correct, *guess, testlen, closest]


def _bleu_of_sums(n, sums):
    """BLEU-n of sums [..., 10] over segments, with pycocoevalcap's guards against a division by zero.

    Reference: Papineni et al. 2002, "BLEU", section 2.3.
    """
    small, tiny = 1e-9, 1e-15
    precisions = (sums[..., :n] + tiny) / (sums[..., 4 : 4 + n] + small)
    ratio = (sums[..., 8] + tiny) / (sums[..., 9] + small)
    return np.prod(precisions, axis=-1) ** (1 / n) * np.exp(np.minimum(0, 1 - 1 / ratio))


def _meteor(references, captions):
    from keras_sat.evaluation.meteor import meteor

    java_on_path()
    return {"meteor": meteor(references, captions)}


def _rouge(references, captions):
    from pycocoevalcap.rouge.rouge import Rouge

    return {"rouge": _mean_of(Rouge().compute_score(references, captions)[1])}


def _cider(references, captions):
    from pycocoevalcap.cider.cider import Cider

    return {"cider": _mean_of(Cider().compute_score(references, captions)[1])}


def _spice(references, captions):
    from pycocoevalcap.spice.spice import Spice

    java_on_path()
    try:
        _, each = Spice().compute_score(references, captions)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UserError(
            f"SPICE's Java process failed ({error}); it was written for Java 8; or leave spice out"
        ) from error
    return {"spice": _mean_of([found["All"]["f"] for found in each])}


def _mean_of(each):
    return mean_score([[value] for value in each])


_SCORERS = {"bleu": _bleu, "meteor": _meteor, "rouge": _rouge, "cider": _cider, "spice": _spice}


def _penn_treebank(captions):
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    java_on_path()
    # One caption a line is what the tokeniser reads: no kind of line break may be left in it.
    lines = {
        image: [{"caption": " ".join(text.split())} for text in texts]
        for image, texts in captions.items()
    }
    return PTBTokenizer().tokenize(lines)
