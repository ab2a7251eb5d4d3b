"""What the client returns for one image, made from one row of the server's response."""

from typing import NamedTuple

import numpy as np


class CaptionAnswer(NamedTuple):
    """The caption of an image.

    Args:
        caption: string, empty if the image could not be read.
        score: the caption's log-probability, as the model scores it.
        status: OK, or why there is no caption.
    """

    caption: str
    score: float
    status: str


class AttentionAnswer(NamedTuple):
    """The captions of an image, and where the model looked for each word of the best one.

    Args:
        captions: K strings, the best first.
        scores: float [K].
        words: T strings, those of the best caption.
        attention: float [T, L].
        boxes: float [L, 4] (ymin, xmin, ymax, xmax), as fractions of the picture's size.
        status: OK, or why there is no caption.
    """

    captions: list
    scores: np.ndarray
    words: list
    attention: np.ndarray
    boxes: np.ndarray
    status: str

    @property
    def caption(self):
        """The best caption."""
        return self.captions[0]


class ScoreAnswer(NamedTuple):
    """How likely the model finds a given caption of an image, word by word.

    Args:
        word_log_probs: float [T].
        words: T strings.
        attention: float [T, L].
        status: OK, or why there are no scores.
    """

    word_log_probs: np.ndarray
    words: list
    attention: np.ndarray
    status: str


def fields(answer):
    """An answer as a dictionary for JSON."""
    found = {}
    for name, value in answer._asdict().items():
        found[name] = value.tolist() if isinstance(value, np.ndarray) else value
    return found


def caption_answer(row):
    """A `CaptionAnswer` of {output: array} of the signature `serving_default`."""
    return CaptionAnswer(
        caption=row["caption"].decode(),
        score=float(row["score"]),
        status=row["status"].decode(),
    )


def attention_answer(row):
    """An `AttentionAnswer` of {output: array} of the signature `caption_with_attention`."""
    words = _words(row["words"])
    return AttentionAnswer(
        captions=_texts(row["captions"]),
        scores=row["scores"],
        words=words,
        attention=row["attention"][: len(words)],
        boxes=row["boxes"],
        status=row["status"].decode(),
    )


def score_answer(row):
    """A `ScoreAnswer` of {output: array} of the signature `score_caption`."""
    words = _words(row["words"])
    return ScoreAnswer(
        word_log_probs=row["word_log_probs"][: len(words)],
        words=words,
        attention=row["attention"][: len(words)],
        status=row["status"].decode(),
    )


def _texts(array):
    return [text.decode() for text in array]


def _words(array):
    """The words without the padding at the end."""
    return [word for word in _texts(array) if word]
