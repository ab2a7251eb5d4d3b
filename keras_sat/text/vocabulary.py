"""The words that a captioner knows, and their ids."""

from pathlib import Path

import tensorflow as tf

from keras_sat.text.ids import END, PAD, SPECIALS, START, UNKNOWN
from keras_sat.text.tokeniser import LEFT, RIGHT, join, split
from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import fingerprint


def min_count_for(captions):
    """How often a word must occur to enter the vocabulary of a corpus with this many captions.

    It is 5 from the 30,000 training captions of Flickr8k on, and 1 below 12,000: a small corpus
    would lose most of its words.
    """
    return min(5, max(1, captions // 6_000))


class Vocabulary:
    """Words and their ids: the special words first, then by falling frequency.

    Args:
        words: all words, with the four special ones at the front.
        source: where they come from, for the error message.

    Raises:
        UserError: the special words are missing, or a word is repeated.
    """

    def __init__(self, words, source="vocabulary"):
        self.words = tuple(words)
        repeated = len(set(self.words)) != len(self.words)
        if self.words[: len(SPECIALS)] != SPECIALS or repeated:
            raise UserError(
                f"{source}: not a vocabulary: it must begin with {' '.join(SPECIALS)} "
                "and repeat no word"
            )
        # tf.init_scope: the first caption may be encoded in a graph, which the table must outlive.
        with tf.init_scope():
            ids = tf.range(len(self.words), dtype=tf.int64)
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(tf.constant(self.words), ids),
                default_value=UNKNOWN,
            )

    @classmethod
    def from_counts(cls, counts, min_count, max_size):
        """The vocabulary of the most frequent words.

        Args:
            counts: {word: how often it was seen}.
            min_count: how often a word must have been seen.
            max_size: the greatest number of words, the special ones included.
        """
        frequent = [word for word in counts if counts[word] >= min_count]
        frequent.sort(key=lambda word: (-counts[word], word))
        most = max(0, max_size - len(SPECIALS))
        return cls((*SPECIALS, *frequent[:most]))

    @classmethod
    def load(cls, path):
        """Reads vocabulary.txt, which has one word per line.

        Raises:
            UserError: the file cannot be read or holds no vocabulary.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{path}: cannot read the vocabulary ({reason})") from error
        return cls(text.split("\n")[:-1], source=str(path))

    def to_text(self):
        """The content of vocabulary.txt."""
        return "".join(word + "\n" for word in self.words)

    @property
    def fingerprint(self):
        """16 hexadecimal digits, equal for two vocabularies only if every id is the same word."""
        return fingerprint(self.to_text())

    @property
    def mirrored(self):
        """The id [V] of each word in a caption of the horizontal flip.

        `left` and `right` are swapped if both are in the vocabulary.
        """
        ids = list(range(len(self.words)))
        if LEFT in self.words and RIGHT in self.words:
            left = self.words.index(LEFT)
            right = self.words.index(RIGHT)
            ids[left] = right
            ids[right] = left
        return ids

    def __len__(self):
        return len(self.words)

    def encode(self, captions, max_length):
        """Ids of captions.

        Args:
            captions: string tensor [M].
            max_length: the greatest number of ids per caption, END included; the rest is cut off.

        Returns:
            A ragged int32 tensor [M, ≤ max_length]; each row ends with END.
        """
        words = split(captions)[:, : max_length - 1]
        ids = tf.ragged.map_flat_values(self.table.lookup, words)
        ends = tf.fill([tf.shape(captions)[0], 1], tf.constant(END, tf.int64))
        return tf.cast(tf.concat([ids, ends], axis=1), tf.int32)

    def words_of(self, ids):
        """The word of each id [...]; empty for PAD."""
        return tf.gather(tf.constant(("", *self.words[1:])), ids)

    def decode(self, ids):
        """Captions [...] of ids [..., T]: the words before END, without PAD and START."""
        words = self.words_of(ids)
        before_end = tf.math.cumsum(tf.cast(ids == END, tf.int32), axis=-1) == 0
        keep = before_end & (ids != PAD) & (ids != START)
        flat = tf.ragged.boolean_mask(
            tf.reshape(words, [-1, tf.shape(ids)[-1]]), tf.reshape(keep, [-1, tf.shape(ids)[-1]])
        )
        return tf.reshape(join(flat), tf.shape(ids)[:-1])
