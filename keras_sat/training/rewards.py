"""What a sampled caption is worth."""

import collections
import copy

import numpy as np
from pycocoevalcap.cider.cider_scorer import CiderScorer, cook_refs

from keras_sat.text.ids import PAD, UNKNOWN


class CiderReward(CiderScorer):
    """CIDEr-D of captions against references of their images, all as ids, by the document frequencies of a corpus.

    END is a word like any other, so that a caption which does not know how to end is worth less; PAD is none. The unknown
    word of a caption is in no reference.

    Args:
        corpus: for each image a list of captions, lists of ids.

    Reference: Vedantam et al. 2015, "CIDEr", section 5; the arithmetic is pycocoevalcap's.
    """

    def __init__(self, corpus):
        super().__init__()
        self._images = 0
        self.document_frequency = (
            collections.Counter()
        )  # a defaultdict would keep every n-gram that is ever asked for
        for captions in corpus:
            self._images += 1
            self.document_frequency.update(
                {gram for counts in cook_refs(map(_as_text, captions)) for gram in counts}
            )

    # pycocoevalcap sets it to the log of how many captions are scored.
    ref_len = property(lambda self: np.log(self._images), lambda self, value: None)

    def __call__(self, captions, references):
        """captions int [B, K, T], references int [B, N, T′] → float32 [B, K], 1 being 100%; zero where there are none."""
        scored = copy.copy(self)  # several devices may ask at once
        scored.ctest, scored.crefs = [], []
        for samples, truths in zip(captions, references):
            truths = cook_refs([text for text in map(_as_text, truths) if text])
            for tested in cook_refs(map(_as_text, np.where(samples == UNKNOWN, -1, samples))):
                scored.ctest.append(tested)
                scored.crefs.append(truths or [{}])
        return np.array(scored.compute_cider(), np.float32).reshape(captions.shape[:2])


def _as_text(ids):
    return " ".join(str(each) for each in ids if each != PAD)
