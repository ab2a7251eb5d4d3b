import numpy as np
import pytest
from PIL import Image

from keras_sat.evaluation.evaluation import Evaluation
from keras_sat.evaluation.report import HEADLINE, table, write_comparison
from keras_sat.evaluation.resampling import mean_score, resample
from keras_sat.visualize.comparison import save_comparison, save_curve


def evaluation(seed, facts=None, **attention):
    values = np.random.default_rng(seed).random(40)
    scores = {"cider": mean_score([[value] for value in values])}
    scores |= {
        name: mean_score([[value] for value in values * share]) for name, share in attention.items()
    }
    captions = {f"{i}.jpg": f'a "dog", {i}' for i in range(40)}
    return Evaluation(
        captions, {image: ("a dog",) for image in captions}, scores, facts or {}, resample(scores)
    )


ATTENTION = {"generated": 0.5, "generated_uniform": 0.1, "generated_best": 1.0}
SYSTEMS = {
    "soft": evaluation(1, {"regions": 64.0}, **ATTENTION),
    "none": evaluation(2, {"regions": 1.0}),
}


@pytest.mark.parametrize("draw", [save_comparison, save_curve])
@pytest.mark.parametrize(
    "systems",
    [SYSTEMS, {"none": SYSTEMS["none"]}],
    ids=["one with attention", "none with attention"],
)
def test_plots_of_systems_with_and_without_attention(draw, systems, tmp_path):
    draw(tmp_path / "plot.png", systems)
    pixels = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB")).reshape(-1, 3)
    attention_drawn = np.any(np.all(pixels == (0xCC, 0x66, 0x77), axis=1))
    assert attention_drawn == ("soft" in systems)


def test_tables_have_systems_as_rows_or_columns():
    columns = [line.strip("|").split("|") for line in table(SYSTEMS).split("\n")]
    rows = [line.strip("|").split("|") for line in table(SYSTEMS, systems_as="rows").split("\n")]
    del columns[1], rows[1]  # the lines under the headers
    assert list(zip(*columns)) == [tuple(row) for row in rows]
    assert columns[2][2].strip() == "", "what a system lacks is left empty"
    assert "Regions" not in table(SYSTEMS, names=("cider",))


def test_a_difference_is_bold_where_it_is_sure(tmp_path):
    better = evaluation(1, cider=2.0)
    text = write_comparison(
        tmp_path, {"good": evaluation(1), "same": evaluation(1), "better": better}, HEADLINE, "rows"
    )
    assert "| same − good | +0.0 (+0.0 to +0.0) |" in text
    assert "| better − good | **+" in text
    assert (tmp_path / "table.md").read_text() == text + "\n"
    assert len((tmp_path / "images.csv").read_text().splitlines()) == 1 + 3 * 40
