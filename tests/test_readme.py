"""The README's commands, run as written and in order in a folder as `make demo` leaves it."""

import contextlib
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest

from keras_sat.cli.main import main
from keras_sat.data import scenes
from keras_sat.pictures.reading import list_pictures
from tests.support.web_process import showing

PICTURE = "demo/pictures/test-000103.png"
README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# {how a command starts: why it is not run here}. The arguments of all are checked by test_docs.py.
LEFT_OUT = {
    "make ": "installs the environment, and takes minutes",
    "python3.11 -m venv": "installs the environment",
    ".venv/bin/python -m pip": "installs the environment",
    ". .venv/bin/activate": "the tests run in it",
    "keras-sat prepare --source my_pictures": "downloads weights; see test_own_pictures.py",
    "keras-sat train --model soft --data data/mine": "see test_own_pictures.py",
    "keras-sat caption --run runs/mine_soft": "needs the run of the line before",
    "keras-sat serve": "runs for ever on a fixed port; see tests/serving",
    "keras-sat prepare --config flickr8k": "needs the corpus",
    "keras-sat reproduce flickr8k_soft": "needs the corpus",
}
# {how a command starts: what is added to it}.
ADDED = {"keras-sat train --model soft --run": ["--data", "data/scenes"]}  # 40 pictures, not 3,000


def reason(line):
    """Why a line is left out; None if it is not."""
    found = [why for start, why in LEFT_OUT.items() if line.startswith(start)]
    return found[0] if found else None


def blocks():
    """The README's (language, code), where code is a Python block or one command."""
    for language, body in BLOCK.findall(README.read_text(encoding="utf-8")):
        commands = [body] if language == "python" else body.replace("\\\n", " ").splitlines()
        for command in commands:
            yield language, command


@pytest.fixture(scope="module")
def folder(run, data_folder, tmp_path_factory):
    """What the README takes for granted, made small: the demo's run and picture, and scenes."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(run.folder, folder / "demo" / "runs" / "scenes_soft")
    shutil.copytree(data_folder, folder / "data" / "scenes")
    (folder / "demo" / "pictures").mkdir()
    (folder / PICTURE).write_bytes(scenes.draw("test-000103", seed=1).image)
    return folder


def caption_of_the_page(arguments):
    """The caption of the README's picture by `keras-sat try`, which serves until it is ended."""
    with showing(*arguments) as page:
        return page.ask("/api/caption", Path(PICTURE).read_bytes()).json["captions"][0]


def test_the_commands_run_as_written(folder, monkeypatch):
    monkeypatch.chdir(folder)
    printed = {}
    for language, command in blocks():
        if reason(command):
            continue
        with contextlib.redirect_stdout(io.StringIO()) as output:
            if language == "python":
                exec(compile(command, "README.md", "exec"), {})
            elif command.startswith("keras-sat try "):
                print(caption_of_the_page(shlex.split(command)[2:]))
            else:
                program, *arguments = shlex.split(command)
                assert program == "keras-sat", command
                more = [added for start, added in ADDED.items() if command.startswith(start)]
                main(sum(more, arguments))
        printed[command] = output.getvalue()
    [by_command] = [text for each, text in printed.items() if " caption " in each]
    [by_python] = [text for each, text in printed.items() if "keras_sat.load" in each]
    name, caption = by_command.strip().split("\t")
    assert name == PICTURE and by_python.startswith(f"{caption} -")
    [by_page] = [text for each, text in printed.items() if each.startswith("keras-sat try ")]
    assert by_page.strip() == caption
    assert len(list_pictures(["where.png"])) == 1
    assert "trained 8 epochs" in "".join(printed.values())
    assert (folder / "runs" / "vector_gate" / "evaluation" / "test_gallery.html").exists()
    assert list((folder / "serving" / "models" / "vector_gate").glob("*/saved_model.pb"))


def test_every_reason_is_for_a_command_that_is_there():
    commands = [command for _, command in blocks()]
    for start in (*LEFT_OUT, *ADDED):
        assert any(command.startswith(start) for command in commands), start
