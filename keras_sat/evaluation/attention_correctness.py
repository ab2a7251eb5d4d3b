"""Attention correctness: the share of the attention that lies in the box of what the word names.

Reference: Liu et al. 2017, "Attention correctness in neural image captioning", section 3.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_sat.data import input_pipeline
from keras_sat.proposals import in_crop
from keras_sat.text import split as split_words


def mass_in_box(attention, regions, box):
    """The attention mass inside a box; a region that is partly inside counts by its share of area.

    Args:
        attention: [L], adds up to 1. regions: [L, 4] boxes (ymin, xmin, ymax, xmax). box: one of the same form.
    """
    return float(np.sum(attention * _share_inside(regions, np.asarray(box))))


def points_at(attention, regions, box):
    """Whether the strongest region overlaps the box (the pointing game, with a region's area for tolerance)."""
    return bool(_share_inside(regions, np.asarray(box))[np.argmax(attention)] > 0)


def nouns_of(words, phrases):
    """The words of a generated caption whose box is known, as [(word index, box)].

    A word counts where a phrase of the image has it as its noun; of several such boxes, the first phrase's is taken.
    """
    boxes = {}
    for phrase in phrases:
        boxes.setdefault(phrase.noun, phrase.box)
    return [(index, boxes[word]) for index, word in enumerate(words) if word in boxes]


def describe_attention(captioned):
    """How concentrated the attention of generated captions is, and whether it moves.

    Returns:
        {"attention_entropy": mean entropy of a word's attention in nats, "attention_change": mean total variation distance
        between the attentions of neighbouring words (0: the same at all steps)}.
    """
    entropies, changes = [], []
    for each in captioned:
        entropies.extend(-np.sum(each.attention * np.log(np.maximum(each.attention, 1e-30)), axis=-1))
        changes.extend(0.5 * np.abs(np.diff(each.attention, axis=0)).sum(axis=-1))
    named = {"attention_entropy": entropies, "attention_change": changes}
    return {name: float(np.mean(values)) for name, values in named.items() if values}


def phrases_in_crop(record):
    """The `Record` with its phrases' boxes as they lie in the encoder's crop, without those of what it does not show."""
    boxes = [in_crop([phrase.box], record.height, record.width)[0] for phrase in record.phrases]
    moved = [dataclasses.replace(phrase, box=tuple(box.tolist())) for phrase, box in zip(record.phrases, boxes)]
    seen = [phrase for phrase in moved if phrase.box[2] > phrase.box[0] and phrase.box[3] > phrase.box[1]]
    return dataclasses.replace(record, phrases=tuple(seen))


def evaluate_attention(model, data, split, vocabulary, captioned, records):
    """Mean attention correctness of a split, or {} where it has no boxes.

    Args:
        captioned: `Captioned` of the split. records: {source id: `Record`}, with phrases.
    Returns:
        {"correctness_truth", "correctness_generated", "correctness_uniform", "pointing"}: mean mass inside the box on
        the true captions, on the generated ones, of uniform attention (on the true ones); and the share of nouns of the
        generated captions whose strongest region lies on the object.
    """
    if data.manifest["encoder"]["resize"] == "crop":
        records = {name: phrases_in_crop(record) for name, record in records.items()}
    if not any(record.phrases for record in records.values()):
        return {}
    truth, uniform, generated, pointing, regions_of = [], [], [], [], {}
    for record, attention, regions in _teacher_forced(model, data, split, vocabulary, records):
        regions_of[record.source_id] = regions
        present = np.all(regions[:, 2:] > regions[:, :2], axis=1)  # without the padding of proposals
        even = present / present.sum()
        for phrase in record.phrases:
            weights = attention[phrase.caption, phrase.end - 1]
            truth.append(mass_in_box(weights, regions, phrase.box))
            uniform.append(mass_in_box(even, regions, phrase.box))
    for each in captioned:
        regions = regions_of[each.source_id]
        for index, box in nouns_of(each.words, records[each.source_id].phrases):
            generated.append(mass_in_box(each.attention[index], regions, box))
            pointing.append(points_at(each.attention[index], regions, box))
    named = {
        "correctness_truth": truth,
        "correctness_generated": generated,
        "correctness_uniform": uniform,
        "pointing": pointing,
    }
    return {name: float(np.mean(values)) for name, values in named.items() if values}


def _teacher_forced(model, data, split, vocabulary, records):
    """(record, attention [captions, T, L], regions [L, 4]) of every image, fed with its true captions."""
    longest = max(int(split_words(record.captions).bounding_shape()[1]) for record in records.values()) + 1

    @tf.function(reduce_retracing=True)
    def attend(inputs):
        return model(inputs)[1], model.encode(inputs)["boxes"]

    names = tuple(model.input_shapes)
    for batch in input_pipeline.evaluation_batches(data, split, batch_size=32, inputs=names):
        chosen = [records[name.decode()] for name in batch["source_id"].numpy() if name.decode() in records]
        if not chosen:
            break
        captions = [vocabulary.encode(record.captions, longest) for record in chosen]
        captions = tf.ragged.stack(captions).to_tensor(shape=[None, None, longest])
        inputs = {name: value[: len(chosen)] for name, value in model.inputs_of(batch).items()}
        attention, boxes = attend({**inputs, "captions": captions})
        yield from zip(chosen, attention.numpy(), boxes.numpy())


def _share_inside(regions, box):
    overlap = np.minimum(regions[:, 2:], box[2:]) - np.maximum(regions[:, :2], box[:2])
    area = np.prod(regions[:, 2:] - regions[:, :2], axis=1)
    return np.prod(np.maximum(overlap, 0), axis=1) / np.maximum(area, 1e-12)
