"""Attention correctness: the share of the attention that lies in the box of what the word names.

Reference: Liu et al. 2017, "Attention correctness in neural image captioning", section 3.
"""

import collections
import dataclasses

import numpy as np
import tensorflow as tf

from keras_sat.data import input_pipeline
from keras_sat.pictures.proposals import in_crop
from keras_sat.text.tokeniser import split as split_words


def mass_in_box(attention, regions, box):
    """The attention mass inside a box; a region that is partly inside counts by its share of area.

    Args:
        attention: [L], adds up to 1. regions: [L, 4] boxes (ymin, xmin, ymax, xmax). box: one of the same form, or several
            [M, 4] of which the union counts.
    """
    return float(np.sum(attention * _share_inside(regions, box)))


def most_in_box(regions, box):
    """The largest mass that any attention over these regions can put inside a box: all of it on the best region."""
    return float(np.max(_share_inside(regions, box)))


def present(regions):
    """Which of the regions [L, 4] are there, bool [L]: the padding of proposals has no area."""
    return np.all(regions[:, 2:] > regions[:, :2], axis=1)


def points_at(attention, regions, box):
    """Whether the strongest region overlaps the box (the pointing game, with a region's area for tolerance)."""
    return bool(_share_inside(regions, box)[np.argmax(attention)] > 0)


def nouns_of(words, phrases):
    """The words of a generated caption that name something whose boxes are known, as [(word index, boxes)].

    A word counts where a phrase of the image has it as its noun. Which of several such things it means, none can tell: the
    boxes of all of them count.
    """
    boxes = collections.defaultdict(set)
    for phrase in phrases:
        boxes[phrase.noun].add(phrase.box)
    return [(index, sorted(boxes[word])) for index, word in enumerate(words) if word in boxes]


def describe_attention(captioned):
    """How concentrated the attention of generated captions is, and whether it moves.

    Returns:
        {"attention_entropy": {source id: [a word's entropy in nats, …]}, "attention_change": {source id: [total variation
        distance between the attentions of neighbouring words, …]}} (0: the same at all steps).
    """
    described = {"attention_entropy": {}, "attention_change": {}}
    for each in captioned:
        entropies = -np.sum(each.attention * np.log(np.maximum(each.attention, 1e-30)), axis=-1)
        changes = 0.5 * np.abs(np.diff(each.attention, axis=0)).sum(axis=-1)
        described["attention_entropy"][each.source_id] = entropies.tolist()
        described["attention_change"][each.source_id] = changes.tolist()
    return described


def phrases_in_crop(record):
    """The `Record` with its phrases' boxes as they lie in the encoder's crop, without those of what it does not show."""
    boxes = [in_crop([phrase.box], record.height, record.width)[0] for phrase in record.phrases]
    moved = [
        dataclasses.replace(phrase, box=tuple(box.tolist()))
        for phrase, box in zip(record.phrases, boxes)
    ]
    seen = [
        phrase
        for phrase in moved
        if phrase.box[2] > phrase.box[0] and phrase.box[3] > phrase.box[1]
    ]
    return dataclasses.replace(record, phrases=tuple(seen))


def evaluate_attention(model, data, split, vocabulary, captioned, records):
    """Attention correctness of a split, noun by noun; {} where it has no boxes.

    Args:
        captioned: `Captioned` of the split. records: {source id: `Record`}, with phrases.
    Returns:
        {name: {source id: [a number for each noun]}}. On the true captions, "truth": the attention inside the box; beside
        it "truth_uniform", that of uniform attention, and "truth_best", the most that any attention over these regions
        could have there. The same of the nouns of generated captions, "generated", …; and "pointing": whether their
        strongest region lies on the object.
    """
    if data.manifest["encoder"]["resize"] == "crop":
        records = {name: phrases_in_crop(record) for name, record in records.items()}
    if not any(record.phrases for record in records.values()):
        return {}
    regions_of, measured = {}, collections.defaultdict(lambda: {name: [] for name in records})

    def measure(kind, name, weights, box):
        regions, there = regions_of[name]
        measured[kind][name].append(mass_in_box(weights, regions, box))
        measured[f"{kind}_uniform"][name].append(mass_in_box(there / there.sum(), regions, box))
        measured[f"{kind}_best"][name].append(most_in_box(regions[there], box))

    for record, attention, regions in _teacher_forced(model, data, split, vocabulary, records):
        regions_of[record.source_id] = regions, present(regions)
        boxes = collections.defaultdict(list)  # a phrase such as "two dogs" comes once a box
        for phrase in record.phrases:
            boxes[phrase.caption, phrase.end - 1].append(phrase.box)
        for noun, each in boxes.items():
            measure("truth", record.source_id, attention[noun], each)
    for each in captioned:
        name = each.source_id
        for index, box in nouns_of(each.words, records[name].phrases):
            measure("generated", name, each.attention[index], box)
            measured["pointing"][name].append(
                points_at(each.attention[index], regions_of[name][0], box)
            )
    return dict(measured)


def _teacher_forced(model, data, split, vocabulary, records):
    """(record, attention [captions, T, L], regions [L, 4]) of every image, fed with its true captions."""
    longest = (
        max(int(split_words(record.captions).bounding_shape()[1]) for record in records.values())
        + 1
    )

    @tf.function(autograph=False, reduce_retracing=True)
    def attend(inputs):
        return model(inputs)[1], model.encode(inputs)["boxes"]

    names = tuple(model.input_shapes)
    for batch in input_pipeline.evaluation_batches(data, split, batch_size=32, inputs=names):
        chosen = [
            records[name.decode()]
            for name in batch["source_id"].numpy()
            if name.decode() in records
        ]
        if not chosen:
            break
        captions = [vocabulary.encode(record.captions, longest) for record in chosen]
        captions = tf.ragged.stack(captions).to_tensor(shape=[None, None, longest])
        inputs = {name: value[: len(chosen)] for name, value in model.inputs_of(batch).items()}
        attention, boxes = attend({**inputs, "captions": captions})
        yield from zip(chosen, attention.numpy(), boxes.numpy())


def _share_inside(regions, boxes):
    """The share of each region's area [L] that lies in the union of boxes, exactly: cut along all edges of the boxes."""
    boxes = np.reshape(boxes, [-1, 4])
    covered, overlaps = [], []
    for low, high in ((0, 2), (1, 3)):  # y, then x
        edges = np.unique(boxes[:, [low, high]])
        covered.append(
            (boxes[:, [low]] <= edges[:-1]) & (edges[1:] <= boxes[:, [high]])
        )  # [M, intervals]
        overlap = np.minimum(regions[:, [high]], edges[1:]) - np.maximum(
            regions[:, [low]], edges[:-1]
        )
        overlaps.append(np.maximum(overlap, 0))  # [L, intervals]
    union = np.any(covered[0][:, :, None] & covered[1][:, None], axis=0)  # [intervals of y, of x]
    area = np.prod(regions[:, 2:] - regions[:, :2], axis=1)
    return np.einsum("ly,yx,lx->l", overlaps[0], union, overlaps[1]) / np.maximum(area, 1e-12)
