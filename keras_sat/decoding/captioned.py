"""Captions for a whole split of a prepared data set."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_sat.data import input_pipeline
from keras_sat.text.tokeniser import normalize
from keras_sat.utils.progress import progress_bar


@dataclass(frozen=True)
class Captioned:
    """A generated caption: its words, log-probability, and attention [words, L] to regions [L, 4]."""

    source_id: str
    caption: str
    score: float
    attention: np.ndarray
    boxes: np.ndarray

    @property
    def words(self):
        return self.caption.split()


def caption_split(generate, model, data, split, vocabulary, limit=0, batch_size=64):
    """Generates a caption for each image of a split.

    Args:
        generate: a `keras_sat.decoding.search.caption_function` of the model, a `Captioner` or an `Ensemble`.
        data: a `PreparedData`. limit: only so many images (0 = all).
    Returns:
        A list of `Captioned`, in stored order.
    """
    captioned = []
    total = min(limit, data.images(split)) if limit else data.images(split)
    with progress_bar(total=total, desc=f"captioning {split}", unit=" images", leave=False) as bar:
        for batch in input_pipeline.evaluation_batches(
            data, split, batch_size, limit, tuple(model.input_shapes)
        ):
            ids = [name.decode() for name in batch["source_id"].numpy()]
            captioned += to_captions(ids, generate(model.inputs_of(batch)), vocabulary)
            bar.update(len(ids))
    return captioned


def to_captions(ids, generated, vocabulary):
    """The `Captioned` of what `decoding` generated for images with these ids."""
    captions = vocabulary.decode(generated["captions"][:, 0]).numpy()
    log_probs, attention = generated["log_probs"][:, 0].numpy(), generated["attention"].numpy()
    rows = zip(ids, captions, log_probs, attention, generated["boxes"].numpy())
    return [Captioned(i, c.decode(), float(p), a[: len(c.split())], b) for i, c, p, a, b in rows]


def explain_captions(model, inputs, captioned, vocabulary):
    """What a model can tell of generated captions beside its attention, by the method `explain` that some have.

    Args:
        inputs: the model's, {name: [B, …]}. captioned: the B images' `Captioned`.
    Returns:
        A dictionary for each image, {name: [a number for each word]}, such as {"gate": [0.9, 0.4]}.
    """
    if not (explain := getattr(model, "explain", None)):
        return [{} for _ in captioned]
    ids = vocabulary.encode(
        [each.caption for each in captioned], max(len(each.words) for each in captioned) + 1
    )
    facts = {
        name: value[:, 0].numpy()
        for name, value in explain({**inputs, "captions": ids.to_tensor()[:, None]}).items()
    }
    return [
        {name: value[i, : len(each.words)] for name, value in facts.items()}
        for i, each in enumerate(captioned)
    ]


def explain_split(model, data, split, vocabulary, captioned, batch_size=64):
    """{source id: what `explain_captions` tells} of some images of a split."""
    wanted, explained = {each.source_id: each for each in captioned}, {}
    for batch in input_pipeline.evaluation_batches(
        data, split, batch_size, inputs=tuple(model.input_shapes)
    ):
        ids = [name.decode() for name in batch["source_id"].numpy()]
        if rows := [row for row, name in enumerate(ids) if name in wanted]:
            inputs = {
                name: tf.gather(value, rows) for name, value in model.inputs_of(batch).items()
            }
            chosen = [wanted[ids[row]] for row in rows]
            facts = explain_captions(model, inputs, chosen, vocabulary)
            explained |= {each.source_id: fact for each, fact in zip(chosen, facts)}
    return explained


def normalised(captions):
    """Captions as lists of strings, words separated by spaces, tokenised as the captioner's own words are."""
    return [caption.decode() for caption in normalize(tf.constant(list(captions))).numpy()]


def normalised_references(records):
    """{source id: the record's captions, `normalised`}."""
    return {record.source_id: normalised(record.captions) for record in records}
