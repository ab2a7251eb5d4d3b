"""The reward of sampled captions."""

import collections
import copy

import numpy as np
from pycocoevalcap.cider.cider_scorer import CiderScorer, cook_refs

from keras_sat.text.ids import PAD, UNKNOWN


class CiderReward(CiderScorer):
    """CIDEr-D of captions against references, all as ids, with a corpus' document frequencies.

    END counts as a word, so that a caption that does not end well is worth less; PAD does not
    count. The unknown word of a caption matches no reference.

    Args:
        corpus: for each image a list of captions, lists of ids.

    Reference: Vedantam et al. 2015, "CIDEr", section 5; the arithmetic is pycocoevalcap's.
    """

    def __init__(self, corpus):
        super().__init__()
        self._images = 0
        # A defaultdict would store every n-gram that is looked up.
        self.document_frequency = collections.Counter()
        for captions in corpus:
            self._images += 1
            self.document_frequency.update(_ngrams(captions))

    # pycocoevalcap sets it to the log of how many captions are scored.
    ref_len = property(lambda self: np.log(self._images), lambda self, value: None)

    def __call__(self, captions, references):
        """The reward of each caption.

        Args:
            captions: int [B, K, T].
            references: int [B, N, T′].

        Returns:
            float32 [B, K], 1 being 100%; zero where there are no references.
        """
        scored = copy.copy(self)  # several devices may call this at once
        scored.ctest = []
        scored.crefs = []
        for samples, truths in zip(captions, references):
            truths = [_as_text(ids) for ids in truths]
            cooked_truths = cook_refs([text for text in truths if text])
            known = np.where(samples == UNKNOWN, -1, samples)
            for cooked_sample in cook_refs(_as_text(ids) for ids in known):
                scored.ctest.append(cooked_sample)
                scored.crefs.append(cooked_truths or [{}])
        rewards = np.array(scored.compute_cider(), np.float32)
        return rewards.reshape(captions.shape[:2])


def _ngrams(captions):
    """The set of n-grams of an image's captions."""
    grams = set()
    for counts in cook_refs(_as_text(ids) for ids in captions):
        grams.update(counts)
    return grams


def _as_text(ids):
    return " ".join(str(each) for each in ids if each != PAD)
