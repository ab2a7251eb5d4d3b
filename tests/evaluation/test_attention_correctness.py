import numpy as np
import pytest

from keras_sat.data.reading import read_records
from keras_sat.data.record import Phrase, Record
from keras_sat.decoding.captioned import Captioned, normalised_references
from keras_sat.evaluation.attention_correctness import (
    evaluate_attention,
    mass_in_box,
    most_in_box,
    nouns_of,
    phrases_in_crop,
    points_at,
)
from keras_sat.layers.areas.grid import grid_boxes
from keras_sat.runs.loading import load_model
from tests.support.rounding import EPSILON, assert_close

GRID = grid_boxes(4, 4).numpy()
UNIFORM = np.full(16, 1 / 16)


def test_uniform_attention_has_the_boxs_area_inside():
    for box in [(0, 0, 1, 1), (0.25, 0.25, 0.5, 1), (0.1, 0.2, 0.35, 0.9), (0.3, 0.3, 0.3, 0.9)]:
        assert_close(
            mass_in_box(UNIFORM, GRID, box),
            (box[2] - box[0]) * (box[3] - box[1]),
            roundings=16,
            terms=1,
        )


def test_attention_on_one_cell_is_counted_by_its_share_in_the_box():
    attention = np.eye(16)[5]  # the cell of row 1, column 1
    assert_close(mass_in_box(attention, GRID, (0.2, 0.2, 0.6, 0.6)), 1, roundings=8)
    assert_close(mass_in_box(attention, GRID, (0.25, 0.375, 0.5, 0.5)), 0.5, roundings=8)
    assert mass_in_box(attention, GRID, (0.5, 0.0, 1, 1)) == 0
    assert points_at(attention, GRID, (0.4, 0.4, 0.9, 0.9)) and not points_at(
        attention, GRID, (0.5, 0.5, 0.9, 0.9)
    )


def test_nouns_are_found_by_their_word():
    phrases = (Phrase(0, 0, 3, "star", (0, 0, 0.5, 0.5)), Phrase(1, 4, 6, "ring", (0.5, 0.5, 1, 1)))
    assert nouns_of(["a", "red", "ring", "left"], phrases) == [(2, [(0.5, 0.5, 1, 1)])]
    another = Phrase(1, 8, 9, "ring", (0, 0, 0.1, 0.1))
    assert nouns_of(["ring"], (*phrases, another, another)) == [
        (0, [(0, 0, 0.1, 0.1), (0.5, 0.5, 1, 1)])
    ]


def test_of_several_boxes_the_union_counts():
    """The areas are compared with a raster, for overlapping, touching, equal and empty boxes."""
    generator = np.random.default_rng(3)
    corners = generator.integers(0, 21, [20, 4, 2, 2])
    corners[:, 1] = corners[:, 0]
    for boxes in np.sort(corners, axis=2).reshape(20, 4, 4) / 20:
        raster = np.zeros([20, 20])
        for ymin, xmin, ymax, xmax in np.round(20 * boxes).astype(int):
            raster[ymin:ymax, xmin:xmax] = 1
        attention = generator.dirichlet(np.ones(16))
        shares = raster.reshape(4, 5, 4, 5).mean(axis=(1, 3)).ravel()
        assert_close(mass_in_box(attention, GRID, boxes), attention @ shares, roundings=16, terms=1)
        assert_close(most_in_box(GRID, boxes), shares.max(), roundings=16, terms=1)


@pytest.mark.parametrize(
    "regions", [GRID, np.array([[0, 0, 0.5, 0.5], [0.2, 0.1, 0.9, 1], [0.4, 0.4, 0.6, 0.6]])]
)
def test_no_attention_has_more_in_the_box_than_the_best(regions):
    generator = np.random.default_rng(1)
    for _ in range(30):
        box = np.sort(generator.random([2, 2]), axis=0).ravel()
        attention = generator.dirichlet(np.full(len(regions), 0.3))
        best = most_in_box(regions, box)
        assert mass_in_box(attention, regions, box) <= best + 1e-9
        masses = [mass_in_box(one, regions, box) for one in np.eye(len(regions))]
        assert_close(max(masses), best, roundings=8)


def test_a_splits_nouns_between_uniform_and_best(run, data, vocabulary):
    model = load_model(run)
    records = {record.source_id: record for record in read_records(data, "test")}
    generator = np.random.default_rng(1)
    captioned = []
    for name, (caption, *_) in normalised_references(records.values()).items():
        attention = generator.dirichlet(np.full(64, 0.1), size=len(caption.split()))
        captioned.append(Captioned(name, caption, 0.0, attention, grid_boxes(8, 8).numpy()))
    found = evaluate_attention(model, data, "test", vocabulary, captioned, records)
    for record in records.values():
        nouns = {(phrase.caption, phrase.end) for phrase in record.phrases}
        assert len(found["truth"][record.source_id]) == len(nouns)
        assert found["generated"][record.source_id], "its own caption names what is in it"
        for kind in ("truth", "generated"):
            best = np.array(found[f"{kind}_best"][record.source_id])
            best += 64 * EPSILON  # the attention sums to 1 up to the roundings of 64 regions
            assert np.all(found[kind][record.source_id] <= best)
            assert np.all(found[f"{kind}_uniform"][record.source_id] <= best)
    boxes = {phrase.box for phrase in records["test-000000"].phrases}
    areas = np.array([(box[2] - box[0]) * (box[3] - box[1]) for box in boxes])
    apart = np.abs(np.subtract.outer(areas, found["truth_uniform"]["test-000000"]))
    assert np.all(apart.min(axis=0) < 1e-4) and np.all(apart.min(axis=1) < 1e-4), (
        "the masses are the areas"
    )


def test_phrases_move_into_the_crop():
    """Of a picture of 256 x 512 the crop shows the middle: y from 16 to 240, x from 144 to 368."""
    boxes = [(16, 144, 128, 256), (0, 0, 256, 200), (0, 0, 256, 140)]
    phrases = tuple(
        Phrase(0, i, i + 1, "dog", (a / 256, b / 512, c / 256, d / 512))
        for i, (a, b, c, d) in enumerate(boxes)
    )
    moved = phrases_in_crop(
        Record("a", ("A dog .",), height=256, width=512, phrases=phrases)
    ).phrases
    assert [phrase.start for phrase in moved] == [0, 1], "the last one is not seen"
    assert_close([phrase.box for phrase in moved], [(0, 0, 0.5, 0.5), (0, 0, 1, 0.25)], roundings=8)
