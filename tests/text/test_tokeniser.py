import itertools

import hypothesis.strategies as st
import tensorflow as tf
from hypothesis import given, settings

from keras_sat.text.tokeniser import join, mirrored, normalize, split

any_text = st.one_of(st.text(), st.text(alphabet="asS'’-. \n\t0éßﬁ́İ"))


@given(st.lists(any_text, min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_joining_what_was_split_gives_the_normalised_caption(texts):
    captions = tf.constant([text.encode("utf-8", "replace") for text in texts])
    normalised = normalize(captions)
    assert join(split(captions)).numpy().tolist() == normalised.numpy().tolist()
    assert normalize(normalised).numpy().tolist() == normalised.numpy().tolist()
    assert split(normalised).to_list() == split(captions).to_list()


def test_normalising_again_changes_nothing():
    """All texts of up to six characters of those that the rules treat specially."""
    lengths = range(7)
    texts = ["".join(each) for n in lengths for each in itertools.product("as'- ", repeat=n)]
    normalised = normalize(tf.constant(texts))
    assert normalize(normalised).numpy().tolist() == normalised.numpy().tolist()


@given(st.binary())
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_caption(text):
    normalize(tf.constant([text])).numpy()[0].decode()


def test_published_tokens():
    captions = [
        "A man's DOG, the man 's dog!",
        "don't — “stop” x-ray -- 'quoted'",
        "Straße ﬁsh CAFÉ",
    ]
    assert [text.decode() for text in normalize(captions).numpy()] == [
        "a man 's dog the man 's dog",
        "don't stop x-ray quoted",
        "strasse fish café",
    ]


def test_mirrored_captions():
    captions = ["A left-handed dog, LEFT of a leftover on the right", "Right!", "two dogs"]
    expected = [b"a right-handed dog right of a leftover on the left", b"left", b"two dogs"]
    assert mirrored(captions).numpy().tolist() == expected
    assert mirrored(mirrored(captions)).numpy().tolist() == normalize(captions).numpy().tolist()
