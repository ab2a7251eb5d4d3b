import numpy as np
import pytest

from keras_sat.layers.areas.grid import grid_boxes
from keras_sat.visualize.heat import (
    attention_maps,
    coloured,
    dimmed,
    grid_of,
    relative,
    top_of_scale,
)

GRID = grid_boxes(4, 6).numpy()
BOXES = np.float32([[0.1, 0.2, 0.37, 0.9], [0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], [0.9, 0, 1, 0.03]])
RANDOM = np.random.default_rng(1)


@pytest.mark.parametrize("boxes", [GRID, BOXES], ids=["grid", "boxes"])
@pytest.mark.parametrize("size", [(80, 120), (7, 5), (1, 1)])
def test_a_map_adds_up_to_its_words_attention(boxes, size):
    attention = RANDOM.dirichlet(np.ones(len(boxes)), size=3)
    attention *= (boxes[:, 2] > boxes[:, 0]) & (
        boxes[:, 3] > boxes[:, 1]
    )  # the others have no area
    maps = attention_maps(attention, boxes, size)
    assert maps.shape == (3, *size) and maps.min() >= 0
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), attention.sum(axis=1), rtol=1e-4)


def test_uniform_attention_over_a_grid_is_even():
    maps = relative(attention_maps(np.full([1, 24], 1 / 24), GRID, (8, 12)))
    np.testing.assert_allclose(maps, 1, rtol=1e-5)


def test_a_region_of_a_grid_is_strongest_where_it_lies():
    attention = np.eye(24)[[3 * 6 + 1]]  # bottom left
    [heat] = attention_maps(attention, GRID, (80, 120))
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert 60 <= y < 80 and 20 <= x < 40
    assert heat[:40, 60:].max() == 0


def test_a_box_is_lit_evenly_and_alone():
    boxes = np.float32([[0.25, 0.5, 0.75, 1], [0, 0, 0.5, 0.5]])
    [heat] = attention_maps(np.float32([[1, 0]]), boxes, (8, 8))
    expected = np.zeros([8, 8])
    expected[2:6, 4:] = 1 / 16
    np.testing.assert_allclose(heat, expected, atol=1e-6)


def test_the_gate_dims_and_nothing_else_does():
    attention = np.float32([[1, 0], [0.5, 0.5]])
    assert dimmed(attention, {}) is attention
    found = dimmed(attention, {"gate": np.float32([0.02, 1])})
    np.testing.assert_allclose(found, [[0.02, 0], [0.5, 0.5]])


def test_no_attention_leaves_the_picture_and_more_covers_more():
    opacity = coloured(np.linspace(0, 2, 9), 2)[:, 3]
    assert opacity[0] == 0 and np.all(np.diff(opacity.astype(int)) > 0) and opacity[-1] < 255
    np.testing.assert_array_equal(coloured(np.zeros([2, 2]), 0)[..., 3], 0)


def test_attention_that_says_nothing_stays_pale():
    maps = relative(attention_maps(np.full([1, 24], 1 / 24), GRID, (8, 12)))
    assert coloured(maps, top_of_scale(maps))[..., 3].max() < 0.25 * 255
    peak = relative(attention_maps(np.eye(24)[:1], GRID, (8, 12)))
    assert top_of_scale(peak) == peak.max() > 4


def test_only_boxes_that_tile_the_picture_in_order_are_a_grid():
    assert grid_of(GRID) == (4, 6)
    assert grid_of(GRID[::-1]) is None and grid_of(BOXES) is None
