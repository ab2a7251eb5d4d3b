"""Checking captions as they are found in a corpus."""

import tensorflow as tf

from keras_sat.text.encoding import HALVES, encoding_fault
from keras_sat.text.tokeniser import split as split_words


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def _count_words(captions):
    return split_words(captions).row_lengths()


def check_captions(captions, max_words):
    """Checks captions as they are found in a corpus; bytes that are not UTF-8 are surrogates.

    Args:
        captions: the captions of one image.
        max_words: the most words that a caption may have.

    Returns:
        [(caption with single spaces, None) or (None, why it cannot be used)].
    """
    clean = []
    for caption in captions:
        clean.append(" ".join(HALVES.sub("\ufffd", caption).split()))
    numbers = _count_words(clean).numpy() if clean else []
    checked = []
    for caption, text, words in zip(captions, clean, numbers):
        fault = encoding_fault(caption)
        if fault:
            checked.append((None, f"caption {fault}"))
        elif not words:
            checked.append((None, "caption empty: no words"))
        elif words > max_words:
            error = f"caption too long: {words} words, max_words is {max_words}"
            checked.append((None, error))
        else:
            checked.append((text, None))
    return checked
