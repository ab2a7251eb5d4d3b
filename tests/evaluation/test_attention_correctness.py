import numpy as np
import pytest

from keras_sat.data.examples import Record
from keras_sat.data.phrase import Phrase
from keras_sat.evaluation.attention_correctness import mass_in_box, nouns_of, phrases_in_crop, points_at
from keras_sat.layers.areas.grid import grid_boxes

GRID = grid_boxes(4, 4).numpy()
UNIFORM = np.full(16, 1 / 16)


def test_uniform_attention_has_the_boxs_area_inside():
    for box in [(0, 0, 1, 1), (0.25, 0.25, 0.5, 1), (0.1, 0.2, 0.35, 0.9), (0.3, 0.3, 0.3, 0.9)]:
        assert mass_in_box(UNIFORM, GRID, box) == pytest.approx((box[2] - box[0]) * (box[3] - box[1]), abs=1e-6)


def test_all_or_nothing():
    attention = np.eye(16)[5]  # the cell of row 1, column 1
    assert mass_in_box(attention, GRID, (0.2, 0.2, 0.6, 0.6)) == pytest.approx(1)
    assert mass_in_box(attention, GRID, (0.25, 0.375, 0.5, 0.5)) == pytest.approx(0.5)
    assert mass_in_box(attention, GRID, (0.5, 0.0, 1, 1)) == 0
    assert points_at(attention, GRID, (0.4, 0.4, 0.9, 0.9)) and not points_at(attention, GRID, (0.5, 0.5, 0.9, 0.9))


def test_nouns_are_found_by_their_word():
    phrases = (Phrase(0, 0, 3, "star", (0, 0, 0.5, 0.5)), Phrase(1, 4, 6, "ring", (0.5, 0.5, 1, 1)))
    assert nouns_of(["a", "red", "ring", "left"], phrases) == [(2, (0.5, 0.5, 1, 1))]


def test_phrases_move_into_the_crop():
    """Of a picture of 256 x 512 the crop shows the middle: y from 16 to 240, x from 144 to 368."""
    boxes = [(16, 144, 128, 256), (0, 0, 256, 200), (0, 0, 256, 140)]
    phrases = tuple(Phrase(0, i, i + 1, "dog", (a / 256, b / 512, c / 256, d / 512)) for i, (a, b, c, d) in enumerate(boxes))
    moved = phrases_in_crop(Record("a", ("A dog .",), height=256, width=512, phrases=phrases)).phrases
    assert [phrase.start for phrase in moved] == [0, 1], "the last one is not seen"
    np.testing.assert_allclose([phrase.box for phrase in moved], [(0, 0, 0.5, 0.5), (0, 0, 1, 0.25)], atol=1e-6)
