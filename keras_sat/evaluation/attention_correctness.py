"""Attention correctness: the share of the attention inside the box of what the word names.

Reference: Liu et al. 2017, "Attention correctness in neural image captioning", section 3.
"""

import collections
import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_sat.data import input_pipeline
from keras_sat.pictures.boxes import in_crop
from keras_sat.text.tokeniser import split as split_words


def mass_in_box(attention, regions, box):
    """The attention mass inside a box.

    A region that is partly inside counts by the share of its area that is.

    Args:
        attention: [L], adds up to 1.
        regions: [L, 4], boxes (ymin, xmin, ymax, xmax).
        box: a box [4] of the same form, or several [M, 4] of which the union counts.
    """
    return float(np.sum(attention * _share_inside(regions, box)))


def most_in_box(regions, box):
    """The largest mass that any attention over these regions can have inside a box.

    It is reached by an attention that is all on the best region.
    """
    return float(np.max(_share_inside(regions, box)))


def present(regions):
    """Which of the regions [L, 4] exist, bool [L]: padding of proposals has no area."""
    return np.all(regions[:, 2:] > regions[:, :2], axis=1)


def points_at(attention, regions, box):
    """Whether the strongest region overlaps the box.

    This is the pointing game, with a region's area as the tolerance.
    """
    return bool(_share_inside(regions, box)[np.argmax(attention)] > 0)


def nouns_of(words, phrases):
    """Finds the words of a generated caption that name something whose boxes are known.

    A word counts if a phrase of the image has it as its noun. If the image holds several things of
    that name, the caption does not tell which of them it means, and the boxes of all of them count.

    Args:
        words: the caption's.
        phrases: the image's `Phrase`s.
    Returns:
        A list of (word index, boxes).
    """
    boxes = collections.defaultdict(set)
    for phrase in phrases:
        boxes[phrase.noun].add(phrase.box)
    return [(index, sorted(boxes[word])) for index, word in enumerate(words) if word in boxes]


def describe_attention(captioned):
    """How concentrated the attention of generated captions is, and how much it moves.

    Args:
        captioned: a list of `Captioned`.
    Returns:
        {"attention_entropy": {source id: entropies}, "attention_change": {source id: changes}}.
        There is one entropy per word, in nats. A change is the total variation distance between
        the attentions of two neighbouring words: 0 if they are equal.
    """
    entropies = {}
    changes = {}
    for each in captioned:
        log_attention = np.log(np.maximum(each.attention, 1e-30))
        entropies[each.source_id] = (-np.sum(each.attention * log_attention, axis=-1)).tolist()
        differences = np.abs(np.diff(each.attention, axis=0))
        changes[each.source_id] = (0.5 * differences.sum(axis=-1)).tolist()
    return {"attention_entropy": entropies, "attention_change": changes}


def phrases_in_crop(record):
    """The `Record` with its phrases' boxes in coordinates of the encoder's crop.

    Phrases whose boxes lie outside the crop are left out.
    """
    kept = []
    for phrase in record.phrases:
        ymin, xmin, ymax, xmax = in_crop([phrase.box], record.height, record.width)[0].tolist()
        if ymax > ymin and xmax > xmin:
            kept.append(dataclasses.replace(phrase, box=(ymin, xmin, ymax, xmax)))
    return dataclasses.replace(record, phrases=tuple(kept))


def evaluate_attention(model, data, split, vocabulary, captioned, records):
    """Measures the attention correctness of a split, noun by noun.

    Args:
        model: a captioner.
        data: the `PreparedData`.
        split: the split's name.
        vocabulary: the model's.
        captioned: the `Captioned` of the split's images.
        records: {source id: `Record`}, with phrases.
    Returns:
        {name: {source id: [one number per noun]}}, {} if no image has boxes. Of the true captions:
        "truth" is the attention mass inside the box, "truth_uniform" that of uniform attention, and
        "truth_best" the largest mass that any attention over these regions could have there.
        "generated", "generated_uniform" and "generated_best" are the same of the nouns in generated
        captions; "pointing" is whether their strongest region lies on the object.
    """
    if data.manifest["encoder"]["resize"] == "crop":
        records = {name: phrases_in_crop(record) for name, record in records.items()}
    if not any(record.phrases for record in records.values()):
        return {}
    regions_of = {}
    measured = collections.defaultdict(lambda: {name: [] for name in records})

    def measure(kind, name, attention, box):
        regions = regions_of[name]
        exists = present(regions)
        uniform = exists / exists.sum()
        measured[kind][name].append(mass_in_box(attention, regions, box))
        measured[f"{kind}_uniform"][name].append(mass_in_box(uniform, regions, box))
        measured[f"{kind}_best"][name].append(most_in_box(regions[exists], box))

    for forced in _teacher_forced(model, data, split, vocabulary, records):
        name = forced.record.source_id
        regions_of[name] = forced.regions
        for noun, boxes in _boxes_of_nouns(forced.record.phrases).items():
            measure("truth", name, forced.attention[noun], boxes)
    for each in captioned:
        name = each.source_id
        for index, boxes in nouns_of(each.words, records[name].phrases):
            attention = each.attention[index]
            measure("generated", name, attention, boxes)
            measured["pointing"][name].append(points_at(attention, regions_of[name], boxes))
    return dict(measured)


def _boxes_of_nouns(phrases):
    """{(caption index, word index): boxes}. A phrase such as "two dogs" has a `Phrase` per box."""
    boxes = collections.defaultdict(list)
    for phrase in phrases:
        boxes[phrase.caption, phrase.end - 1].append(phrase.box)
    return boxes


class _TeacherForced(NamedTuple):
    """An image's `Record`, the attention to its true captions [captions, T, L], regions [L, 4]."""

    record: object
    attention: np.ndarray
    regions: np.ndarray


def _teacher_forced(model, data, split, vocabulary, records):
    """Yields the `_TeacherForced` of each image in `records`, in stored order."""
    longest = 0
    for record in records.values():
        words = split_words(record.captions).bounding_shape()[1]
        longest = max(longest, int(words) + 1)  # with END

    @tf.function(autograph=False, reduce_retracing=True)
    def attend(inputs):
        _, attention = model(inputs)
        return attention, model.encode(inputs)["boxes"]

    names = tuple(model.input_shapes)
    for batch in input_pipeline.evaluation_batches(data, split, batch_size=32, inputs=names):
        ids = [name.decode() for name in batch["source_id"].numpy()]
        chosen = [records[name] for name in ids if name in records]
        if not chosen:
            break
        captions = [vocabulary.encode(record.captions, longest) for record in chosen]
        captions = tf.ragged.stack(captions).to_tensor(shape=[None, None, longest])
        # `records` holds the first images of the split, so those of a batch come first in it.
        inputs = {name: value[: len(chosen)] for name, value in model.inputs_of(batch).items()}
        inputs["captions"] = captions
        attention, boxes = attend(inputs)
        yield from map(_TeacherForced, chosen, attention.numpy(), boxes.numpy())


def _share_inside(regions, boxes):
    """The share of each region's area that lies in the union of boxes.

    It is exact: the plane is cut along all edges of the boxes, which makes a grid of cells that are
    each inside the union or outside.

    Args:
        regions: [L, 4].
        boxes: [4] or [M, 4].
    Returns:
        [L].
    """
    boxes = np.reshape(boxes, [-1, 4])
    rows, heights = _cut(regions, boxes, 0, 2)  # along y: [M, Y], [L, Y]
    columns, widths = _cut(regions, boxes, 1, 3)  # along x: [M, X], [L, X]
    union = np.any(rows[:, :, None] & columns[:, None], axis=0)  # [Y, X]
    area = np.prod(regions[:, 2:] - regions[:, :2], axis=1)
    return np.einsum("ly,yx,lx->l", heights, union, widths) / np.maximum(area, 1e-12)


def _cut(regions, boxes, low, high):
    """Cuts one axis at the edges of all boxes.

    Args:
        regions: [L, 4].
        boxes: [M, 4].
        low: index of a box's lower edge along the axis.
        high: index of its upper edge.
    Returns:
        Which intervals each box covers, bool [M, intervals], and how much of each interval lies in
        each region, [L, intervals].
    """
    edges = np.unique(boxes[:, [low, high]])
    starts = edges[:-1]
    ends = edges[1:]
    covered = (boxes[:, [low]] <= starts) & (ends <= boxes[:, [high]])
    overlap = np.minimum(regions[:, [high]], ends) - np.maximum(regions[:, [low]], starts)
    return covered, np.maximum(overlap, 0)
