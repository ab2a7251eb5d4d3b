"""Captions for a whole split of a prepared data set."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_sat.data import input_pipeline
from keras_sat.text.tokeniser import normalize
from keras_sat.utils.progress import progress_bar


@dataclass(frozen=True)
class Captioned:
    """A generated caption of an image.

    Attributes:
        source_id: the image's.
        caption: its words, separated by spaces.
        score: its log-probability.
        attention: float32 [words, L].
        boxes: float32 [L, 4], the regions.
        captions: the captions that were asked for, the best first.
        scores: their log-probabilities.
    """

    source_id: str
    caption: str
    score: float
    attention: np.ndarray
    boxes: np.ndarray
    captions: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()

    @property
    def words(self):
        return self.caption.split()


def caption_split(generate, model, data, split, vocabulary, limit=0, batch_size=64):
    """Generates a caption for each image of a split.

    Args:
        generate: a `keras_sat.decoding.search.caption_function` of the model.
        model: a `Captioner` or an `Ensemble`.
        data: a `PreparedData`.
        split: train, val or test.
        vocabulary: the model's.
        limit: the number of images, from the first (0 = all).
        batch_size: images per batch.

    Returns:
        A list of `Captioned`, in stored order.
    """
    captioned = []
    total = min(limit, data.images(split)) if limit else data.images(split)
    inputs = tuple(model.input_shapes)
    batches = input_pipeline.evaluation_batches(data, split, batch_size, limit, inputs)
    with progress_bar(total=total, desc=f"captioning {split}", unit=" images", leave=False) as bar:
        for batch in batches:
            ids = _ids(batch)
            captioned += to_captions(ids, generate(model.inputs_of(batch)), vocabulary)
            bar.update(len(ids))
    return captioned


def to_captions(ids, generated, vocabulary):
    """The captions of images as strings, with their attention and regions.

    Args:
        ids: the source ids of the B images.
        generated: what `keras_sat.decoding.search.generate` returned.
        vocabulary: the model's.

    Returns:
        A list of `Captioned`.
    """
    texts = np.char.decode(vocabulary.decode(generated["captions"]).numpy().astype(bytes), "utf-8")
    log_probs = generated["log_probs"].numpy()  # [B, best], as texts
    attention = generated["attention"].numpy()  # [B, T, L]
    boxes = generated["boxes"].numpy()
    captioned = []
    for row, source_id in enumerate(ids):
        exist = log_probs[row] > -np.inf  # there may be fewer than were asked for
        exist[0] = True
        captions = tuple(texts[row][exist].tolist())
        scores = tuple(log_probs[row][exist].tolist())
        words = len(captions[0].split())
        captioned.append(
            Captioned(
                source_id,
                captions[0],
                scores[0],
                attention[row, :words],
                boxes[row],
                captions,
                scores,
            )
        )
    return captioned


def explain_captions(model, inputs, captioned, vocabulary):
    """What a model can tell about generated captions beside its attention.

    It comes from the method `explain`, which some models have.

    Args:
        model: a `Captioner` or an `Ensemble`.
        inputs: the model's, {name: [B, …]}.
        captioned: the `Captioned` of the B images.
        vocabulary: the model's.

    Returns:
        A dictionary for each image, {name: [a number for each word]}, such as {"gate": [0.9, 0.4]}.
    """
    explain = getattr(model, "explain", None)
    if explain is None:
        return [{} for _ in captioned]
    longest = max(len(each.words) for each in captioned) + 1
    ids = vocabulary.encode([each.caption for each in captioned], longest)
    told = explain({**inputs, "captions": ids.to_tensor()[:, None]})
    told = {name: value[:, 0].numpy() for name, value in told.items()}  # [B, T]
    explained = []
    for row, each in enumerate(captioned):
        explained.append({name: value[row, : len(each.words)] for name, value in told.items()})
    return explained


def explain_split(model, data, split, vocabulary, captioned, batch_size=64):
    """The facts of `explain_captions` for some images of a split.

    Args:
        model: a `Captioner` or an `Ensemble`.
        data: a `PreparedData`.
        split: train, val or test.
        vocabulary: the model's.
        captioned: the `Captioned` of these images.
        batch_size: images per batch.

    Returns:
        {source id: {name: [a number for each word]}}.
    """
    wanted = {each.source_id: each for each in captioned}
    explained = {}
    inputs = tuple(model.input_shapes)
    for batch in input_pipeline.evaluation_batches(data, split, batch_size, inputs=inputs):
        ids = _ids(batch)
        rows = [row for row, name in enumerate(ids) if name in wanted]
        if not rows:
            continue
        chosen = {name: tf.gather(value, rows) for name, value in model.inputs_of(batch).items()}
        images = [wanted[ids[row]] for row in rows]
        facts = explain_captions(model, chosen, images, vocabulary)
        for image, fact in zip(images, facts):
            explained[image.source_id] = fact
    return explained


def _ids(batch):
    return [name.decode() for name in batch["source_id"].numpy()]


def normalised(captions):
    """Captions tokenised as the captioner's own are.

    Returns:
        A list of strings, words separated by spaces.
    """
    return [caption.decode() for caption in normalize(tf.constant(list(captions))).numpy()]


def normalised_references(records):
    """{source id: the record's captions, `normalised`}."""
    return {record.source_id: normalised(record.captions) for record in records}
