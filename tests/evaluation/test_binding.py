import pytest

from keras_sat.data.examples import Record
from keras_sat.data.phrase import Phrase
from keras_sat.evaluation.binding import misbound_share
from keras_sat.evaluation.generate import Captioned

BOX = (0, 0, 1, 1)
CAPTIONS = ("a large red ring is above a small blue star", "the striped star below a ring")
PHRASES = (
    Phrase(0, 0, 4, "ring", BOX),
    Phrase(0, 6, 10, "star", BOX),
    Phrase(1, 0, 3, "star", BOX),
    Phrase(1, 4, 6, "ring", BOX),
)
RECORDS = {"x": Record("x", CAPTIONS, phrases=PHRASES)}


@pytest.mark.parametrize(
    "caption, share",
    [
        ("a red ring", 0),
        ("a blue ring", 1),
        ("a striped blue star above a large red ring", 0),
        ("a striped red star above a large blue ring", 0.5),
        ("a green ring and a purple star", None),  # no true caption says green or purple of anything
        ("the red square", None),
        ("", None),
    ],
)
def test_attributes_belong_to_their_noun(caption, share):
    assert misbound_share([Captioned("x", caption, 0.0, None, None)], RECORDS) == share


def test_a_true_caption_misbinds_nothing():
    captioned = [Captioned("x", caption, 0.0, None, None) for caption in CAPTIONS]
    assert misbound_share(captioned, RECORDS) == 0
