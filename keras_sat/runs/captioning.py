"""Captions for picture files, with a trained run."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_sat.decoding.captioned import Captioned, explain_captions, to_captions
from keras_sat.decoding.search import caption_function
from keras_sat.encoder.inputs import PICTURES, picture_inputs, shown_picture
from keras_sat.runs.loading import (
    captioner_inputs,
    load_captioner,
    load_vocabulary,
    picture_features,
)
from keras_sat.utils.errors import UserError

_BATCH = 32


class CaptionedFile(NamedTuple):
    """A picture file and its caption.

    Attributes:
        path: as given.
        picture: uint8 [H, W, 3], to draw on.
        captioned: a `Captioned`.
        facts: {name: [a number for each word]}, see
            `keras_sat.decoding.captioned.explain_captions`.
    """

    path: str
    picture: np.ndarray
    captioned: Captioned
    facts: dict


def caption_files(run, paths, explain=False):
    """Captions image files.

    Args:
        run: a `Run` or `RunEnsemble`.
        paths: image files.
        explain: whether to run the captions through the model once more, for the facts of
            `keras_sat.decoding.captioned.explain_captions`.

    Returns:
        (a list of `CaptionedFile`, [`UserError` of each file that is not a picture]).
    """
    files, errors = _read_files(run, paths)
    if not files:
        return [], errors
    model = load_captioner(run)
    vocabulary = load_vocabulary(run)
    features = picture_features(run)
    generate = caption_function(model, run.experiment.decoding)
    captioned = []
    for first in range(0, len(files), _BATCH):
        batch = files[first : first + _BATCH]
        pictures = {}
        for name in batch[0].inputs:
            pictures[name] = np.stack([file.inputs[name] for file in batch])
        inputs = features(pictures)
        ids = [str(file.path) for file in batch]
        captions = to_captions(ids, generate(inputs), vocabulary)
        facts = [{} for _ in batch]
        if explain:
            facts = explain_captions(model, inputs, captions, vocabulary)
        for file, caption, fact in zip(batch, captions, facts):
            captioned.append(CaptionedFile(file.path, file.picture, caption, fact))
    return captioned, errors


class _File(NamedTuple):
    """A picture file that has been read.

    Attributes:
        path: see `CaptionedFile`.
        picture: see `CaptionedFile`.
        inputs: {name: array}, see `keras_sat.encoder.inputs.picture_inputs`.
    """

    path: str
    picture: np.ndarray
    inputs: dict


def _read_files(run, paths):
    """([`_File`], [`UserError` of each file that is not a picture])."""
    encoder = run.facts.encoder
    names = list(dict.fromkeys(PICTURES.get(name, name) for name in captioner_inputs(run)))
    files = []
    errors = []
    for path in paths:
        try:
            encoded = tf.io.read_file(str(path))
            inputs = picture_inputs(encoded, names, encoder, run.facts.proposals)
            files.append(_File(path, shown_picture(encoded, encoder), inputs))
        except tf.errors.NotFoundError:
            errors.append(UserError(f"{path}: no such file"))
        except tf.errors.OpError:
            errors.append(
                UserError(f"{path}: not a picture that can be read (JPEG, PNG, GIF or BMP)")
            )
        except UserError as error:
            errors.append(UserError(f"{path}: {error}"))
    return files, errors
