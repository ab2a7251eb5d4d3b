import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from keras_sat.errors import UserError
from keras_sat.evaluation.scorers import java_on_path, score

REFERENCES = {
    "a.jpg": ["A man's dog runs .", "The dog is running, quickly!", "a brown dog"],
    "b.jpg": ["Two children play on the beach .", "Kids playing in the sand"],
    "c.jpg": ["A red car", "There is a red car on the street"],
}
CAPTIONS = {"a.jpg": "a dog runs", "b.jpg": "two kids play in the sand", "c.jpg": "a red car on the street"}


def test_scores_are_pycocoevalcaps():
    java_on_path()
    tokenizer = PTBTokenizer()
    gts = tokenizer.tokenize({k: [{"caption": text} for text in v] for k, v in REFERENCES.items()})
    res = tokenizer.tokenize({k: [{"caption": v}] for k, v in CAPTIONS.items()})
    bleu, bleus = Bleu(4).compute_score(gts, res, verbose=0)
    expected = {f"bleu{n + 1}": bleu[n] for n in range(4)}
    expected |= {
        name: scorer().compute_score(gts, res)[0]
        for name, scorer in {"meteor": Meteor, "rouge": Rouge, "cider": Cider}.items()
    }
    found, each = score(CAPTIONS, REFERENCES)
    assert found == pytest.approx(expected, abs=1e-9)
    assert list(each["bleu4"].values()) == pytest.approx(bleus[3])
    assert list(each["bleu4"]) == sorted(CAPTIONS)


def test_validation_needs_no_java_and_agrees_on_the_same_tokens(monkeypatch):
    plain = {
        k: [
            " ".join(text.lower().replace(",", " ").replace("!", " ").replace(".", " ").replace("'s", " 's").split())
            for text in texts
        ]
        for k, texts in REFERENCES.items()
    }
    published, _ = score(CAPTIONS, REFERENCES, ["bleu", "cider"])
    monkeypatch.setenv("PATH", "")
    quick, _ = score(CAPTIONS, plain, ["bleu", "cider"], tokenise=False)
    assert quick == pytest.approx(published, abs=1e-6)


def test_a_reference_itself_is_perfect():
    own = {name: texts[0] for name, texts in REFERENCES.items()}
    found, _ = score(own, REFERENCES, ["bleu", "rouge"])
    np.testing.assert_allclose(list(found.values()), 1, atol=1e-6)


@pytest.mark.parametrize("line_break", ["\n", "\r", "\u2028", "\x0b", "\x85"])
def test_line_breaks_in_a_caption_shift_nothing(line_break):
    references = {"a": [f"a dog{line_break}runs", "the dog"], "b": ["a red car"], "c": ["one bus"]}
    found, _ = score({"a": "a dog runs", "b": "a red car", "c": "one bus"}, references, ["rouge"])
    assert found["rouge"] == pytest.approx(1)


def test_mistakes_are_named():
    with pytest.raises(UserError, match="no captions"):
        score({}, REFERENCES)
    with pytest.raises(UserError, match=r"d\.jpg.*split"):
        score({**CAPTIONS, "d.jpg": "x"}, REFERENCES)
    with pytest.raises(UserError, match="blue"):
        score(CAPTIONS, REFERENCES, ["blue"])
