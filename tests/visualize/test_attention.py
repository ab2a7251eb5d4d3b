import io

import numpy as np
from PIL import Image

from keras_sat.layers.areas.grid import grid_boxes
from keras_sat.visualize.attention import _lit, attention_overlay, to_png


def test_the_picture_is_lit_where_the_attention_lies():
    image = np.full([80, 120, 3], 200, np.uint8)
    weights = np.zeros([4, 6])
    weights[3, 1] = 1  # bottom left
    lit = _lit(image, weights).mean(axis=-1)
    y, x = np.unravel_index(lit.argmax(), lit.shape)
    assert 60 <= y < 80 and 20 <= x < 40
    assert lit[:40, 60:].max() < 50


def test_there_is_one_panel_per_word():
    figure = attention_overlay(
        np.zeros([64, 64, 3], np.uint8),
        ["a", "dog"],
        np.full([2, 4], 0.25),
        grid_boxes(2, 2).numpy(),
    )
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["", "a", "dog"]
    assert Image.open(io.BytesIO(to_png(figure))).size[0] > 300


def test_facts_are_printed_beside_their_word():
    facts = {"gate": np.array([0.25, 0.755])}
    figure = attention_overlay(
        np.zeros([64, 64, 3], np.uint8),
        ["a", "dog"],
        np.full([2, 4], 0.25),
        grid_boxes(2, 2).numpy(),
        facts,
    )
    texts = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert texts == [[], ["β 0.25"], ["β 0.76"]]


def test_boxes_have_lines_as_wide_as_their_attention():
    boxes = np.array([[0, 0, 0.5, 0.5], [0.25, 0.5, 0.75, 1]])
    figure = attention_overlay(
        np.zeros([64, 32, 3], np.uint8), ["dog"], np.array([[0.25, 0.75]]), boxes
    )
    thin, thick = figure.axes[1].patches
    assert thick.get_linewidth() == 3 * thin.get_linewidth()
    assert (*thick.get_xy(), thick.get_width(), thick.get_height()) == (16, 16, 16, 32)
