"""The one tokeniser for preparation, training and serving, all of it inside the graph.

A caption is normalised to words joined by single spaces. Splitting is then splitting at spaces, and
joining the words of a caption gives back the normalised caption. Only ops that a stock TensorFlow
Serving has are used.
"""

import tensorflow as tf
import tensorflow_text as tf_text

# Applied in this order. RE2 has no look-around, so each rule is one pass over the text. Together
# they are idempotent (tests/text/test_tokeniser.py).
_RULES = (
    # Typographic apostrophes become plain ones.
    ("[\u2018\u2019\u02bc\uff07`]", "'"),
    # A word consists of letters, marks, digits, inner apostrophes and inner hyphens …
    (r"[^\p{L}\p{M}\p{N}'-]+", " "),
    # … or is 's, which the Penn Treebank (and Flickr8k's captions) separate from the word before.
    (r"(?:['-]*'-*s['-]*)+( |$)", " \x01s\\1"),
    # No apostrophe or hyphen at the beginning of a word, nor at its end.
    (r"(^|[ '-])['-]+", r"\1"),
    (r"['-]+($| )", r"\1"),
    ("\x01", "'"),
    # Single spaces between words, none around them.
    (r" +", " "),
    (r"^ | $", ""),
)

# The words that a horizontal flip of the image swaps.
LEFT = "left"
RIGHT = "right"


def normalize(captions):
    """Normalises captions: UTF-8 repaired, NFKC and case folded, no punctuation, single spaces.

    Args:
        captions: string tensor of any shape; any bytes.

    Returns:
        A string tensor of the same shape. Normalising it again does not change it.
    """
    captions = tf.strings.unicode_transcode(
        captions, "UTF-8", "UTF-8", replace_control_characters=True
    )
    captions = tf_text.case_fold_utf8(captions)
    for pattern, replacement in _RULES:
        captions = tf.strings.regex_replace(captions, pattern, replacement)
    return captions


def split(captions):
    """The words of captions [...] of any bytes, as a ragged string tensor [..., words]."""
    return tf.strings.split(normalize(captions))


def join(words):
    """The inverse of `split`: ragged words [..., T] to captions [...]."""
    return tf.strings.reduce_join(words, axis=-1, separator=" ")


def mirrored(captions):
    """Captions [...] of the horizontal flips: normalised, with `left` and `right` swapped."""
    captions = normalize(captions)
    captions = tf.strings.regex_replace(captions, rf"\b{LEFT}\b", "\x01")
    captions = tf.strings.regex_replace(captions, rf"\b{RIGHT}\b", LEFT)
    return tf.strings.regex_replace(captions, "\x01", RIGHT)
