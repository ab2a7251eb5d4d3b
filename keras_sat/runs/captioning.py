"""Captions for pictures, with a trained run."""

import functools
import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_sat.decoding.captioned import Captioned, explain_captions, to_captions
from keras_sat.decoding.search import caption_function
from keras_sat.encoder.inputs import PICTURES, picture_inputs, shown_picture
from keras_sat.models.losses import word_log_probs
from keras_sat.pictures.batches import answers
from keras_sat.pictures.decode import decoding_of
from keras_sat.pictures.formats import MAX_PIXELS
from keras_sat.pictures.reading import encoded_picture
from keras_sat.runs.loading import (
    captioner_inputs,
    load_captioner,
    load_vocabulary,
    picture_features,
)
from keras_sat.text.ids import PAD
from keras_sat.utils.errors import UserError


class CaptionedFile(NamedTuple):
    """A picture and its caption.

    Attributes:
        path: as given; `picture 1`, … for a picture that is no file.
        picture: uint8 [H, W, 3], to draw on.
        captioned: a `Captioned`.
        facts: {name: [a number for each word]}, see
            `keras_sat.decoding.captioned.explain_captions`.
    """

    path: str | os.PathLike
    picture: np.ndarray
    captioned: Captioned
    facts: dict


class _Picture(NamedTuple):
    """A picture that has been read.

    Attributes:
        path: see `CaptionedFile`.
        picture: see `CaptionedFile`.
        inputs: {name: array}, see `keras_sat.encoder.inputs.picture_inputs`.
    """

    path: str | os.PathLike
    picture: np.ndarray
    inputs: dict


def caption_files(run, paths, explain=False):
    """Captions image files.

    Args:
        run: a `Run` or `RunEnsemble`.
        paths: image files, or pictures in any other form that `PictureCaptioning` takes.
        explain: see `PictureCaptioning.caption`.

    Returns:
        (a list of `CaptionedFile`, [`UserError` of each file that is not a picture]).
    """
    captioned = []
    errors = []
    for outcome in PictureCaptioning(run).caption(paths, explain):
        kind = errors if isinstance(outcome, UserError) else captioned
        kind.append(outcome)
    return captioned, errors


class PictureCaptioning:
    """All that captions pictures with a run, loaded once.

    Args:
        run: a `Run` or `RunEnsemble`.
        model: from `load_model`, which is the default.
        best: how many captions of each picture are kept.

    Raises:
        UserError: as `load_model`.
    """

    def __init__(self, run, model=None, best=1):
        self.run = run
        self.captioner = load_captioner(run, model)
        self._vocabulary = load_vocabulary(run)
        self._features = picture_features(run)
        self._generate = caption_function(self.captioner, run.experiment.decoding, best)
        needed = captioner_inputs(run)
        self._pictures = list(dict.fromkeys(PICTURES.get(name, name) for name in needed))

    def caption(self, pictures, explain=False):
        """Captions pictures in batches, as they are asked for.

        Args:
            pictures: an iterable of pictures in any form that `encoded_picture` takes.
            explain: whether to run the captions through the model once more, for the facts of
                `keras_sat.decoding.captioned.explain_captions`.

        Returns:
            An iterator of a `CaptionedFile` for each picture, or of the `UserError` that says why
            there is none.
        """
        answer = functools.partial(self._caption, explain=explain)
        return answers(pictures, self._read, answer)

    def score(self, picture, caption):
        """The log-probability of a given caption of a picture.

        It is the sum over the caption's words and its end. A caption of `decoding.max_length` words
        is scored without an end, as decoding leaves it.

        Raises:
            UserError: the picture cannot be read; the caption is longer than that.
        """
        read = self._read(picture)
        longest = self.run.experiment.decoding.max_length
        ids = self._vocabulary.encode(tf.constant([caption]), longest + 2).to_tensor(PAD)
        words = ids.shape[1] - 1  # without the end
        if words > longest:
            raise UserError(
                f"{caption!r}: has more than {longest} words; set a larger decoding.max_length"
            )
        captions = ids[:, None, :longest]  # [1, 1, T]
        annotations = self.captioner.encode(self._inputs([read]))
        log_probs, _ = self.captioner.unroll(annotations, captions)
        return float(tf.reduce_sum(word_log_probs(log_probs, captions)))

    def _read(self, picture, number=1):
        """The `_Picture` of a picture in any form."""
        facts = self.run.facts
        name, encoded = encoded_picture(picture, number)
        try:
            with decoding_of(encoded, MAX_PIXELS):
                inputs = picture_inputs(encoded, self._pictures, facts.encoder, facts.proposals)
                shown = shown_picture(encoded, facts.encoder)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
        path = picture if isinstance(picture, os.PathLike) else name
        return _Picture(path, shown, inputs)

    def _inputs(self, pictures):
        """The captioner's inputs {name: [B, …]} of B `_Picture`s."""
        stacked = {}
        for name in self._pictures:
            stacked[name] = np.stack([picture.inputs[name] for picture in pictures])
        return self._features(stacked)

    def _caption(self, pictures, explain):
        """The `CaptionedFile`s of a batch of `_Picture`s."""
        inputs = self._inputs(pictures)
        ids = [str(picture.path) for picture in pictures]
        captions = to_captions(ids, self._generate(inputs), self._vocabulary)
        facts = [{} for _ in pictures]
        if explain:
            facts = explain_captions(self.captioner, inputs, captions, self._vocabulary)
        return [
            CaptionedFile(picture.path, picture.picture, caption, fact)
            for picture, caption, fact in zip(pictures, captions, facts)
        ]
