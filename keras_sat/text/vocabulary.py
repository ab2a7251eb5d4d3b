"""One tokeniser and one vocabulary for preparation, training and serving, all of it inside the graph.

A caption is normalised to words joined by single spaces; splitting is then splitting at spaces, and joining what was
split gives back the normalised caption. Only ops that stock TensorFlow Serving has are used.
"""

import hashlib
from pathlib import Path

import tensorflow as tf
import tensorflow_text as tf_text

from keras_sat.utils.errors import UserError

SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")
PAD, START, END, UNKNOWN = range(len(SPECIALS))

# In order. RE2 has no look-around, so each rule is one pass; together they are idempotent (tests/test_text.py).
_RULES = (
    ("[\u2018\u2019\u02bc\uff07`]", "'"),  # typographic apostrophes
    (
        r"[^\p{L}\p{M}\p{N}'-]+",
        " ",
    ),  # a word is letters, marks, digits, inner apostrophes and hyphens
    (
        r"(?:['-]*'s['-]*)+( |$)",
        " \x01s\\1",
    ),  # … or 's, set apart as the Penn Treebank (and Flickr8k's captions) do
    (r"(^|[ '-])['-]+", r"\1"),  # none at a word's beginning …
    (r"['-]+($| )", r"\1"),  # … nor at its end
    ("\x01", "'"),
    (r" +", " "),
    (r"^ | $", ""),
)


def normalize(captions):
    """Normalises captions: UTF-8 repaired, NFKC and case folded, punctuation dropped, single spaces.

    Args:
        captions: string tensor of any shape; any bytes.
    Returns:
        A string tensor of the same shape, `normalize` of which is itself.
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


_SIDES = ("left", "right")


def mirrored(captions):
    """Captions [...] of the mirror images: normalised, `left` and `right` changed for each other."""
    captions, (left, right) = normalize(captions), _SIDES
    for word, other in ((rf"\b{left}\b", "\x01"), (rf"\b{right}\b", left), ("\x01", right)):
        captions = tf.strings.regex_replace(captions, word, other)
    return captions


class Vocabulary:
    """Words and their ids: the special ones first, then by falling frequency.

    Args:
        words: all words, the four special ones at the front.
    Raises:
        UserError: where the special words are missing or a word stands twice.
    """

    def __init__(self, words, source="vocabulary"):
        self.words = tuple(words)
        if self.words[: len(SPECIALS)] != SPECIALS or len(set(self.words)) != len(self.words):
            raise UserError(
                f"{source}: not a vocabulary: it must begin with {' '.join(SPECIALS)} and repeat no word"
            )
        # tf.init_scope: the table must outlive a graph in which the first caption happens to be encoded.
        with tf.init_scope():
            ids = tf.range(len(self.words), dtype=tf.int64)
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(tf.constant(self.words), ids),
                default_value=UNKNOWN,
            )

    @classmethod
    def from_counts(cls, counts, min_count, max_size):
        """The most frequent words of {word: count}: seen at least min_count times, at most max_size with the specials."""
        frequent = sorted(
            (word for word in counts if counts[word] >= min_count),
            key=lambda word: (-counts[word], word),
        )
        return cls((*SPECIALS, *frequent[: max(0, max_size - len(SPECIALS))]))

    @classmethod
    def load(cls, path):
        """Reads vocabulary.txt, one word a line."""
        try:
            return cls(Path(path).read_text(encoding="utf-8").split("\n")[:-1], source=str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{path}: cannot read the vocabulary ({getattr(error, 'strerror', None) or error})"
            ) from error

    def to_text(self):
        """The content of vocabulary.txt."""
        return "".join(word + "\n" for word in self.words)

    @property
    def fingerprint(self):
        """16 hexadecimal digits that two vocabularies share only if every id means the same word."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()[:16]

    @property
    def mirrored(self):
        """The ids [V] of what each word is called in the mirror image: `left` and `right` change, where both are words."""
        places = {word: id for id, word in enumerate(self.words)}
        swap = dict(zip(_SIDES, reversed(_SIDES))) if places.keys() >= set(_SIDES) else {}
        return [places[swap.get(word, word)] for word in self.words]

    def __len__(self):
        return len(self.words)

    def encode(self, captions, max_length):
        """Ids of captions.

        Args:
            captions: string tensor [M].
            max_length: the most ids a caption may have, END included; the words beyond are cut off.
        Returns:
            A ragged int32 tensor [M, ≤ max_length]; each row ends with END.
        """
        words = split(captions)[:, : max_length - 1]
        ids = tf.ragged.map_flat_values(self.table.lookup, words)
        ends = tf.fill([tf.shape(captions)[0], 1], tf.constant(END, tf.int64))
        return tf.cast(tf.concat([ids, ends], axis=1), tf.int32)

    def words_of(self, ids):
        """The word of each id [...], empty for PAD."""
        return tf.gather(tf.constant(("", *self.words[1:])), ids)

    def decode(self, ids):
        """Captions [...] of ids [..., T]: the words before END, special ones left out."""
        words = self.words_of(ids)
        before_end = tf.math.cumsum(tf.cast(ids == END, tf.int32), axis=-1) == 0
        keep = before_end & (ids != PAD) & (ids != START)
        flat = tf.ragged.boolean_mask(
            tf.reshape(words, [-1, tf.shape(ids)[-1]]), tf.reshape(keep, [-1, tf.shape(ids)[-1]])
        )
        return tf.reshape(join(flat), tf.shape(ids)[:-1])
