"""Java programs give the same numbers wherever they are installed and whatever the locale is."""

import shutil
import subprocess
import sys
from importlib import resources

import pytest

from keras_sat.evaluation import meteor_process, penn_treebank
from keras_sat.evaluation.meteor import meteor
from tests.support.permissions import read_only

REFERENCES = {"a": ["the dog is in the street"], "b": ["TITLE IN it", "kids are running quickly"]}
CAPTIONS = {"a": ["a canine in it"], "b": ["children running Title"]}


@pytest.fixture(autouse=True)
def a_new_process():
    meteor_process._end()
    yield
    meteor_process._end()


@pytest.fixture(scope="module")
def expected():
    return numbers()


def numbers():
    score = meteor(REFERENCES, CAPTIONS)
    return score.value, score.statistics.tolist(), penn_treebank.tokenise(REFERENCES | CAPTIONS)


def test_a_read_only_folder_with_a_space_and_a_percent_sign(expected, tmp_path, monkeypatch):
    package = tmp_path / "My Projects" / "100%41" / "pycocoevalcap"
    for part in ("meteor", "tokenizer"):
        source = resources.files("pycocoevalcap") / part
        shutil.copytree(source, package / part, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(resources, "files", {"pycocoevalcap": package}.__getitem__)
    with read_only(package):
        assert numbers() == expected


@pytest.mark.parametrize("language, country", [("tr", "TR"), ("de", "DE")])
def test_any_locale(language, country, expected, monkeypatch):
    options = f"-Duser.language={language} -Duser.country={country}"
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", options)
    assert numbers() == expected


def test_one_process_serves_all_evaluations_until_it_dies(expected):
    value, _, _ = expected
    assert meteor(REFERENCES, CAPTIONS).value == value
    first = meteor_process._running
    assert meteor(REFERENCES, CAPTIONS).value == value
    assert meteor_process._running is first

    first._java.kill()
    first._java.wait()
    assert meteor(REFERENCES, CAPTIONS).value == value
    assert meteor_process._running is not first


def test_an_interrupted_evaluation_leaves_no_answer_to_the_next(expected, monkeypatch):
    value, _, _ = expected

    def interrupt(self):
        self._java.stdin.write(b"SCORE ||| a ||| a\n")
        self._java.stdin.flush()
        raise KeyboardInterrupt

    meteor(REFERENCES, CAPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(meteor_process._Process, "_ask", lambda self, *parts: interrupt(self))
        with pytest.raises(KeyboardInterrupt):
            meteor(REFERENCES, CAPTIONS)
    assert meteor(REFERENCES, CAPTIONS).value == value


SCRIPT = """
import os
from keras_sat.evaluation import meteor_process
from keras_sat.evaluation.meteor import meteor

question = [{"a": ["a dog", "the dog"]}, {"a": ["the dogs"]}]
value = meteor(*question).value
java = meteor_process._running._java.pid
if os.fork() == 0:
    same = meteor(*question).value == value
    os._exit(0 if same and meteor_process._running._java.pid != java else 1)
_, status = os.wait()
assert status == 0, "the forked Python has a process of its own"
assert meteor(*question).value == value
assert meteor_process._running._java.pid == java
print(java)
"""


def test_a_forked_python_has_its_own_process_and_none_outlives_python():
    finished = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    with pytest.raises(FileNotFoundError):
        open(f"/proc/{int(finished.stdout)}/stat").close()
