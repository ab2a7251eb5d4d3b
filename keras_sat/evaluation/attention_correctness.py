"""Attention correctness: the share of the attention that lies in the box of what the word names.

Reference: Liu et al. 2017, "Attention correctness in neural image captioning", section 3.
"""

import numpy as np


def mass_in_box(attention, regions, box):
    """The attention mass inside a box; a region that is partly inside counts by its share of area.

    Args:
        attention: [L], adds up to 1. regions: [L, 4] boxes (ymin, xmin, ymax, xmax). box: the same, one.
    """
    return float(np.sum(attention * _share_inside(regions, np.asarray(box))))


def of_captions(words, attention, regions, phrases):
    """Correctness of every noun of a caption whose box is known.

    Args:
        words: the caption's words. attention: [T, L], T ≥ len(words). regions: [L, 4].
        phrases: the image's `Phrase`s that name things in this caption by their noun: a word counts where a phrase has
            it as its noun. Where several boxes carry the noun, it may be any of them: the largest mass counts.
    Returns:
        [(word index, mass inside, mass that uniform attention has inside)].
    """
    uniform = np.full(len(regions), 1 / len(regions))
    found = []
    for index, word in enumerate(words):
        boxes = {phrase.box for phrase in phrases if phrase.noun == word}
        if boxes:
            found.append(max((mass_in_box(attention[index], regions, b), mass_in_box(uniform, regions, b)) for b in boxes))
            found[-1] = (index, *found[-1])
    return found


def _share_inside(regions, box):
    overlap = np.minimum(regions[:, 2:], box[2:]) - np.maximum(regions[:, :2], box[:2])
    area = np.prod(regions[:, 2:] - regions[:, :2], axis=1)
    return np.prod(np.maximum(overlap, 0), axis=1) / np.maximum(area, 1e-12)
