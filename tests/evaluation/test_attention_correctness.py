import numpy as np
import pytest

from keras_sat.data.phrase import Phrase
from keras_sat.evaluation.attention_correctness import mass_in_box, nouns_of, points_at
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
