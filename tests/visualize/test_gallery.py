import base64
import html.parser
import json
import re

import numpy as np
import pytest

from keras_sat.decoding.captioned import Captioned
from keras_sat.evaluation.evaluation import evaluation_of
from keras_sat.layers.areas.grid import grid_boxes
from keras_sat.visualize.gallery import EACH, choose, write_gallery

EVIL = '<script>alert("x")</script> & <b>'
BOXES = np.array([[0, 0, 0.5, 0.5], [0.25, 0.5, 0.75, 1]])


def some_evaluation(images, regions):
    """The captions of the first half are references; those of the others are wrong."""
    generator = np.random.default_rng(0)
    references = {f"{i:03}.jpg": (f"a red ring {i}", f"</ul><i>star {i}") for i in range(images)}
    captions = {name: each[0] for name, each in references.items()}
    captions |= {
        name: f"{EVIL} {number}" for number, name in enumerate(list(captions)[images // 2 :])
    }
    scores = {name: [generator.random()] for name in captions}
    captioned = [
        Captioned(
            name,
            text,
            0.0,
            generator.dirichlet(np.ones(len(regions)), size=len(text.split())),
            regions,
        )
        for name, text in captions.items()
    ]
    return evaluation_of(
        captions, references, (), {"rouge": scores, "pointing": {"000.jpg": [1]}}, {}
    ), captioned


def pictures(chosen):
    return {name: np.full([60, 90, 3], 128, np.uint8) for name in chosen}


class Reader(html.parser.HTMLParser):
    """What a browser reads in a page: elements with their attributes, and texts by element."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.texts = {}
        self._open = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_data(self, text):
        if self._open:
            self.texts[self._open[-1]][-1] += text

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass


@pytest.mark.parametrize("regions", [grid_boxes(2, 3).numpy(), BOXES], ids=["grid", "boxes"])
def test_every_caption_stays_text(regions, tmp_path):
    evaluation, captioned = some_evaluation(9, regions)
    write_gallery(tmp_path / "gallery.html", f"run {EVIL}", evaluation, captioned, pictures)
    page = Reader((tmp_path / "gallery.html").read_text(encoding="utf-8"))
    assert sorted(attributes["alt"] for tag, attributes in page.tags if tag == "img") == sorted(
        evaluation.captions.values()
    )
    assert page.texts["h1"] == [f"run {EVIL}"]
    words = [word for caption in evaluation.captions.values() for word in caption.split()]
    assert sorted(page.texts["button"]) == sorted(words)
    for each in evaluation.references.values():
        assert set(each) <= set(page.texts["li"])
    assert not {"b", "i"} & {tag for tag, _ in page.tags}
    assert len(page.texts["script"]) == 2, "the data's and our own"


@pytest.mark.parametrize("regions", [grid_boxes(2, 3).numpy(), BOXES], ids=["grid", "boxes"])
def test_the_page_holds_the_attention_of_each_word_and_loads_nothing(regions, tmp_path):
    evaluation, captioned = some_evaluation(3, regions)
    write_gallery(tmp_path / "gallery.html", "run", evaluation, captioned, pictures)
    text = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    page = Reader(text)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text)
    for _, attributes in page.tags:
        assert attributes.get("src", "data:").startswith("data:") and "href" not in attributes
    shown = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    by_caption = {each.caption: each for each in captioned}
    for caption, stored in zip(shown, json.loads(page.texts["script"][0])):
        attention = by_caption[caption].attention
        assert len(stored["words"]) == len(caption.split())
        if stored["grid"]:
            assert stored["grid"] == [2, 3]
            light = [
                np.frombuffer(base64.b64decode(word), np.uint8) / 255 for word in stored["words"]
            ]
            np.testing.assert_allclose(
                light, attention / attention.max(axis=1, keepdims=True), atol=1 / 255
            )
        else:
            for boxes, weights in zip(stored["words"], attention):
                found = {tuple(box[:4]): box[4] for box in boxes}
                assert found == pytest.approx(
                    {tuple(box): weight for box, weight in zip(BOXES, weights)}, abs=1e-3
                )


def test_the_best_are_better_than_the_others_and_the_worst_worse():
    evaluation, _ = some_evaluation(50, BOXES)
    scores = evaluation.each()["rouge"]
    (_, best), (_, worst), (_, others) = choose(evaluation)
    assert (
        len(best) == len(worst) == len(others) == EACH and len({*best, *worst, *others}) == 3 * EACH
    )
    for image in others:
        assert scores[best[-1]] >= scores[image] >= scores[worst[-1]]
    assert scores[best[0]] == max(scores.values()) and scores[worst[0]] == min(scores.values())


@pytest.mark.parametrize("images", [1, 2, 4])
def test_few_images_are_each_shown_once(images):
    evaluation, _ = some_evaluation(images, BOXES)
    assert sorted(image for _, chosen in choose(evaluation) for image in chosen) == list(
        evaluation.captions
    )
