import io

import numpy as np
import pytest
from PIL import Image

from keras_sat.layers.areas.grid import grid_boxes
from keras_sat.pictures.results import OVERLAY_SUFFIXES
from keras_sat.visualize.attention import attention_overlay, save_figure, to_png
from keras_sat.visualize.hover import attention_html

GREY = np.full([64, 96, 3], 128, np.uint8)
GRID = grid_boxes(2, 2).numpy()
EVEN = np.full([2, 4], 0.25)


def panels(figure):
    """The layers of each word's panel: the picture, and the map over it, RGBA."""
    return [[image.get_array() for image in axis.images] for axis in figure.axes[1:-1]]


def test_there_is_one_panel_per_word_under_the_caption():
    figure = attention_overlay(GREY, ["a", "dog"], EVEN, GRID)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["", "a", "dog", ""]
    assert figure.get_suptitle() == "a dog"
    assert Image.open(io.BytesIO(to_png(figure))).size[0] > 300


def test_the_picture_itself_is_in_every_panel_as_it_is():
    figure = attention_overlay(GREY, ["a", "dog"], EVEN, GRID)
    for picture, heat in panels(figure):
        np.testing.assert_array_equal(picture, GREY)
        assert heat.shape[-1] == 4


def test_one_scale_holds_for_all_words_and_the_gate_dims():
    """The same attention is as opaque as its gate, also where each word has a place of its own."""
    attention = np.eye(4)[[0, 3]]
    facts = {"gate": np.float32([0.02, 0.92])}
    [[_, dark], [_, bright]] = panels(
        attention_overlay(GREY, ["a", "triangle"], attention, GRID, facts)
    )
    ratio = dark[..., 3].max() / bright[..., 3].max()
    assert ratio == pytest.approx(0.02 / 0.92, abs=1 / 200)
    [[_, first], [_, second]] = panels(attention_overlay(GREY, ["a", "b"], attention, GRID))
    assert first[..., 3].max() == second[..., 3].max()


def test_the_legend_has_the_colours_of_the_maps():
    attention = np.float32([[0.5, 0.5, 0, 0], [1, 0, 0, 0]])
    figure = attention_overlay(GREY, ["a", "dog"], attention, GRID)
    legend = figure.axes[-1]
    assert legend.get_xlim()[0] == 0
    assert legend.get_xlim()[1] == pytest.approx(4, rel=1e-3)  # all of it on a quarter
    assert "attention" in legend.get_xlabel()


@pytest.mark.parametrize("suffix", OVERLAY_SUFFIXES)
def test_a_figure_is_written_in_the_format_that_its_name_says(suffix, tmp_path):
    path = tmp_path / f"where{suffix}"
    save_figure(path, attention_overlay(GREY, ["dog"], EVEN[:1], GRID))
    start = path.read_bytes()[:200]
    if suffix in (".pdf", ".svg"):
        assert start.startswith(b"%PDF") if suffix == ".pdf" else b"<?xml" in start
    else:
        expected = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
        assert Image.open(path).format == expected.get(suffix, suffix[1:].upper())
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_caption_without_words_is_a_picture():
    figure = attention_overlay(GREY, [], np.zeros([0, 4]), GRID)
    assert len(figure.axes) == 1 and to_png(figure)


def test_html_has_a_map_for_each_word_and_is_escaped():
    page = attention_html(GREY, ["a", "<b>"], EVEN, GRID, {"gate": np.float32([0.25, 0.5])})
    assert page.count('class="word"') == 2 and page.count("data:image/png;base64,") == 3
    assert "&lt;b&gt;" in page and "<b>" not in page and "β 0.25" in page
    assert "<script" not in page


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
    assert texts == [[], ["β 0.25"], ["β 0.76"], []]


def test_boxes_have_lines_as_wide_as_their_attention():
    boxes = np.array([[0, 0, 0.5, 0.5], [0.25, 0.5, 0.75, 1]])
    figure = attention_overlay(
        np.zeros([64, 32, 3], np.uint8), ["dog"], np.array([[0.25, 0.75]]), boxes
    )
    thin, thick = figure.axes[1].patches
    assert thick.get_linewidth() == 3 * thin.get_linewidth()
    assert (*thick.get_xy(), thick.get_width(), thick.get_height()) == (16, 16, 16, 32)
