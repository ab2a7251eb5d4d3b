import hypothesis.strategies as st
import pytest
import tensorflow as tf
from hypothesis import given, settings

from keras_sat.text.ids import END, PAD, START, UNKNOWN
from keras_sat.text.tokeniser import split
from keras_sat.text.vocabulary import Vocabulary
from keras_sat.utils.errors import UserError
from tests.text.test_tokeniser import any_text

WORDS = Vocabulary.from_counts(
    {"a": 9, "dog": 5, "'s": 3, "man": 3, "don't": 2, "rare": 1}, min_count=2, max_size=100
)
traced_encode = tf.function(
    lambda captions, length: WORDS.encode(captions, length).to_tensor(PAD), reduce_retracing=True
)


@given(st.lists(any_text, min_size=1, max_size=3), st.integers(2, 12))
@settings(max_examples=100, deadline=None)
def test_the_graph_reads_what_preparation_wrote(texts, max_length):
    """Tokenisation is the same eagerly (preparation) and in a graph (input pipeline, export).

    Decoding returns the known words.
    """
    captions = tf.constant([text.encode("utf-8", "replace") for text in texts])
    traced = traced_encode(captions, tf.constant(max_length))
    eager = WORDS.encode(captions, max_length)
    assert traced.numpy().tolist() == eager.to_tensor(PAD).numpy().tolist()
    for words, ids, text in zip(
        split(captions).to_list(), eager.to_list(), WORDS.decode(traced).numpy()
    ):
        known = [word.decode() if word.decode() in WORDS.words else "<unk>" for word in words]
        assert ids[-1] == END and len(ids) == min(len(words) + 1, max_length)
        assert text.decode() == " ".join(known[: max_length - 1])


def test_vocabulary_by_count_then_alphabet():
    assert WORDS.words[4:] == ("a", "dog", "'s", "man", "don't")
    assert Vocabulary.from_counts({"b": 2, "a": 2, "c": 3}, 1, 6).words[4:] == ("c", "a")
    assert WORDS.encode(["rare dog"], 9).to_list() == [[UNKNOWN, 5, END]]
    assert (PAD, START) == (0, 1)


def test_vocabulary_round_trip_and_fingerprint(tmp_path):
    path = tmp_path / "vocabulary.txt"
    path.write_text(WORDS.to_text(), encoding="utf-8")
    assert Vocabulary.load(path).fingerprint == WORDS.fingerprint
    assert Vocabulary((*WORDS.words[:-2], *WORDS.words[:-3:-1])).fingerprint != WORDS.fingerprint
    path.write_text("a\nb\n")
    with pytest.raises(UserError, match=r"vocabulary\.txt"):
        Vocabulary.load(path)
