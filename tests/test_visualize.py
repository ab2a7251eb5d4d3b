import io

import numpy as np
from PIL import Image

from keras_sat.visualize.attention import _lit, attention_overlay, to_png


def test_the_picture_is_lit_where_the_attention_lies():
    image = np.full([80, 120, 3], 200, np.uint8)
    weights = np.zeros([4, 6])
    weights[3, 1] = 1  # bottom left
    lit = _lit(image, weights).mean(axis=-1)
    y, x = np.unravel_index(lit.argmax(), lit.shape)
    assert 60 <= y < 80 and 20 <= x < 40
    assert lit[:40, 60:].max() < 50


def test_one_panel_a_word():
    figure = attention_overlay(np.zeros([64, 64, 3], np.uint8), ["a", "dog"], np.full([2, 4], 0.25), (2, 2))
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["", "a", "dog"]
    assert Image.open(io.BytesIO(to_png(figure))).size[0] > 300
