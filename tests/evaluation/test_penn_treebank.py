"""The tokeniser of published scores, without a file written into a package."""

import os

import pycocoevalcap.tokenizer
import pytest
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from keras_sat.evaluation import penn_treebank
from keras_sat.evaluation.java import java_on_path
from keras_sat.utils.errors import UserError

CAPTIONS = {
    "a": ["A man's dog runs .", "", "The dog is running -- quickly!", "one,two;three (four)"],
    "b": ["café “quoted” ½ 20% $5", "U.S. can't won't 日本 \x85 next", "..."],
    "c": ["x"],
}


def test_it_is_pycocoevalcaps():
    java_on_path()
    wanted = {}
    for image, texts in CAPTIONS.items():
        wanted[image] = [{"caption": " ".join(text.split())} for text in texts]
    expected = PTBTokenizer().tokenize(wanted)
    (folder,) = pycocoevalcap.tokenizer.__path__
    before = os.stat(folder).st_mtime_ns
    assert penn_treebank.tokenise(CAPTIONS) == expected
    assert os.stat(folder).st_mtime_ns == before, "the package may be read-only"


def test_a_process_that_fails_is_no_result(monkeypatch):
    monkeypatch.setattr(penn_treebank, "STANFORD_CORENLP_3_4_1_JAR", "nowhere.jar")
    with pytest.raises(UserError, match="tokeniser's Java process failed"):
        penn_treebank.tokenise(CAPTIONS)
