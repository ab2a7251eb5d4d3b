import pytest

from keras_sat.data.record import Phrase
from keras_sat.evaluation.binding import misbound

BOX = (0, 0, 1, 1)
CAPTIONS = ("a large red ring is above a small blue star", "the striped star below a ring")
PHRASES = (
    Phrase(0, 0, 4, "ring", BOX),
    Phrase(0, 6, 10, "star", BOX),
    Phrase(1, 0, 3, "star", BOX),
    Phrase(1, 4, 6, "ring", BOX),
)


@pytest.mark.parametrize(
    "caption, wrong",
    [
        ("a red ring", [False]),
        ("a blue ring", [True]),
        ("a striped blue star above a large red ring", [False] * 4),
        ("a striped red star above a large blue ring", [False, True, False, True]),
        ("a green ring and a purple star", []),  # no true caption says green or purple of anything
        ("the red square", []),
        ("", []),
    ],
)
def test_attributes_belong_to_their_noun(caption, wrong):
    assert misbound(caption.split(), PHRASES, CAPTIONS) == wrong


def test_a_true_caption_misbinds_nothing():
    for caption in CAPTIONS:
        assert not any(misbound(caption.split(), PHRASES, CAPTIONS))
