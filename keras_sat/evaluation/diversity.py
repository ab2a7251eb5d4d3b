"""Whether a captioner says something about each picture, or the same about many.

Reference: van Miltenburg et al. 2018, "Measuring the diversity of automatic image descriptions",
COLING.
"""

import functools
import sys

from keras_sat.data.prepared import open_prepared
from keras_sat.data.reading import read_captions, reading
from keras_sat.decoding.captioned import normalised
from keras_sat.utils.errors import UserError
from keras_sat.utils.progress import progress_bar


def facts_of(captions):
    """Facts of captions as a set.

    Args:
        captions: normalised.
    Returns:
        {"distinct": the share of distinct captions, "words_used": the number of distinct words}.
    """
    words = set()
    for caption in captions:
        words.update(caption.split())
    return {"distinct": len(set(captions)) / len(captions), "words_used": float(len(words))}


def values_of(captions, references, training):
    """Values of captions that have a mean over images.

    Args:
        captions: {image id: caption}.
        references: {image id: [caption, …]}.
        training: the set of all training captions. All captions are normalised.
    Returns:
        {name: {image id: [numbers]}}: "length" and "reference_length" in words and, if there are
        training captions, "seen_in_training", which is whether the caption is one of them.
    """
    lengths = {}
    reference_lengths = {}
    seen = {}
    for image, caption in captions.items():
        lengths[image] = [len(caption.split())]
        reference_lengths[image] = [len(text.split()) for text in references[image]]
        seen[image] = [caption in training]
    values = {"length": lengths, "reference_length": reference_lengths}
    if training:
        values["seen_in_training"] = seen
    return values


def training_captions(data):
    """The set of normalised captions of a `PreparedData`'s training split.

    It is empty, with a note on stderr, if the data set has no training split.
    """
    try:
        return _training_captions(str(data.folder), data.manifest["fingerprint"])
    except UserError as error:  # not needed to evaluate another split
        print(f"note: {error}; captions that training showed are not counted", file=sys.stderr)
        return set()


@functools.lru_cache(maxsize=1)  # several runs are evaluated on one data set
def _training_captions(folder, fingerprint):
    data = open_prepared(folder)
    data.shards("train")
    captions = set()
    bar = progress_bar(
        total=data.images("train"), desc="reading train's captions", unit=" images", leave=False
    )
    with reading(data, "train"), bar:
        for _, texts in read_captions(data, "train"):
            captions.update(normalised(texts))
            bar.update(1)
    return captions
