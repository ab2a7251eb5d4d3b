"""Whether a captioner says something of each picture, or the same of many: facts of the captions as a set.

Reference: van Miltenburg et al. 2018, "Measuring the diversity of automatic image descriptions", COLING.
"""

import functools
import sys

from keras_sat.data.prepared import open_prepared
from keras_sat.data.reading import read_captions, reading
from keras_sat.decoding.captioned import normalised
from keras_sat.utils.errors import UserError
from keras_sat.utils.progress import progress_bar


def facts_of(captions):
    """Args: captions: normalised. Returns: {"distinct": share of distinct captions, "words_used": distinct words}."""
    return {
        "distinct": len(set(captions)) / len(captions),
        "words_used": float(len({word for caption in captions for word in caption.split()})),
    }


def values_of(captions, references, training):
    """What has a mean over images, as {name: {image id: [numbers]}}.

    Args:
        captions: {image id: caption}. references: {image id: [caption, …]}. training: set of captions; all normalised.
    Returns:
        "seen_in_training": whether the very caption is one of those; "length" and "reference_length": words.
    """
    values = {
        "length": {image: [len(caption.split())] for image, caption in captions.items()},
        "reference_length": {
            image: [len(text.split()) for text in references[image]] for image in captions
        },
    }
    if training:
        values["seen_in_training"] = {
            image: [caption in training] for image, caption in captions.items()
        }
    return values


def training_captions(data):
    """The set of normalised captions of the training split of a `PreparedData`; empty, with a note, where it has none."""
    try:
        return _training_captions(str(data.folder), data.manifest["fingerprint"])
    except UserError as error:  # to evaluate another split it is not needed
        print(f"note: {error}; captions that training showed are not counted", file=sys.stderr)
        return set()


@functools.lru_cache(maxsize=1)  # several runs are evaluated on one data set
def _training_captions(folder, fingerprint):
    data, captions = open_prepared(folder), set()
    data.shards("train")
    bar = progress_bar(
        total=data.images("train"), desc="reading train's captions", unit=" images", leave=False
    )
    with reading(data, "train"), bar:
        for _, texts in read_captions(data, "train"):
            captions.update(normalised(texts))
            bar.update(1)
    return captions
