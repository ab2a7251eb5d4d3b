"""Captions for a whole split of a prepared data set."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_sat.data import input_pipeline
from keras_sat.decoding import caption_function
from keras_sat.progress import progress_bar


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


def caption_split(model, data, split, vocabulary, config, limit=0, batch_size=64, generate=None):
    """Generates a caption for each image of a split.

    Args:
        model: a `Captioner`. data: a `PreparedData`. config: the `decoding` section of an experiment.
        limit: only so many images (0 = all). generate: a `caption_function` made before, to trace it once.
    Returns:
        A list of `Captioned`, in stored order.
    """
    generate = generate or caption_function(model, config.max_length)
    captioned = []
    total = min(limit, data.images(split)) if limit else data.images(split)
    with progress_bar(total=total, desc=f"captioning {split}", unit=" images", leave=False) as bar:
        for batch in input_pipeline.evaluation_batches(data, split, batch_size, limit, tuple(model.input_shapes)):
            ids = [name.decode() for name in batch["source_id"].numpy()]
            captioned += to_captions(ids, generate(model.inputs_of(batch)), vocabulary)
            bar.update(len(ids))
    return captioned


def to_captions(ids, generated, vocabulary):
    """The `Captioned` of what `decoding` generated for images with these ids."""
    captions = vocabulary.decode(generated["captions"][:, 0]).numpy()
    scores, attention = (generated[name][:, 0].numpy() for name in ("scores", "attention"))
    rows = zip(ids, captions, scores, attention, generated["boxes"].numpy())
    return [Captioned(i, c.decode(), float(s), a[: len(c.split())], b) for i, c, s, a, b in rows]


def normalised_references(records):
    """{source id: captions, words separated by spaces}, tokenised as the captioner's own words are."""
    from keras_sat.text import normalize

    return {r.source_id: [text.decode() for text in normalize(tf.constant(r.captions)).numpy()] for r in records}
