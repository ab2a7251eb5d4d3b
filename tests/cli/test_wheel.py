"""The wheel does everything from an empty folder, without the rest of the repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keras_sat import config
from keras_sat.data import scenes
from tests.support.commands import assert_one_line
from tests.support.settings import SMALL_MODEL

REPOSITORY = Path(__file__).parents[2]
# The editable installation of the repository would answer for what is missing in the wheel.
ALONE = """
import sys
sys.meta_path = [each for each in sys.meta_path if "editable" not in repr(each).lower()]
sys.path = [each for each in sys.path if each != REPOSITORY]
import keras_sat
assert keras_sat.__file__.startswith(TARGET), keras_sat.__file__
from keras_sat.cli.main import main
"""
STEPS = """
main(["prepare", "--source", "train=8,val=4", "--weights", "none", "--output", "data/scenes",
      "--set", "min_count=1"])
main(["train", "--data", "data/scenes", "--set", "train.epochs=1", *SMALL])
main(["caption", "picture.png", "--run", "runs/scenes_soft"])
main(["export", "--run", "runs/scenes_soft", "--output", "models/captioner"])
from serving.client.__main__ import main as client
from serving.process import ServerProcess
with ServerProcess("models/captioner") as server:
    client(["picture.png", "--server", server.address])
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A folder into which the wheel is installed, without what it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("keras_sat", "pipeline", "serving", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source]
    subprocess.run(wheel, check=True)
    [built] = folder.glob("*.whl")
    install = [*pip, "install", "--no-deps", "--no-index", "--target", folder / "target", built]
    subprocess.run(install, check=True)
    return folder / "target"


def run(target, folder, code):
    """Runs code in a folder, with the installed package alone."""
    alone = ALONE.replace("TARGET", repr(str(target))).replace("REPOSITORY", repr(str(REPOSITORY)))
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", alone + code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )


def test_from_an_empty_folder_to_a_served_caption(target, tmp_path):
    (tmp_path / "picture.png").write_bytes(scenes.draw(scenes.scene_id("test", 0), seed=1).image)
    small = [f"--set={setting}" for setting in SMALL_MODEL]
    result = run(target, tmp_path, STEPS.replace("*SMALL", ", ".join(map(repr, small))))
    # The client ends its process with its own exit code.
    assert result.returncode == 0, result.stderr[-3000:]
    captions = [line for line in result.stdout.splitlines() if line.startswith("picture.png")]
    assert len(captions) == 2, result.stdout
    assert captions[0].split("\t")[-1] == captions[1].split("\t")[-1]


def test_the_configurations_are_those_of_the_repository(target):
    installed = target / "keras_sat" / "configs"
    for path in config.CONFIGS.rglob("*.yaml"):
        assert (installed / path.relative_to(config.CONFIGS)).read_text() == path.read_text()


def test_a_foreign_package_that_hides_ours_is_named(target, tmp_path):
    """`python -m` puts the current folder first, so a user's own pipeline/ is found there."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").touch()
    first = "sys.path.insert(0, '.')\n"
    hidden = run(target, tmp_path, first + "main(['prepare', '--output', 'data'])")
    assert_one_line(hidden, f"hides that of keras_sat ({target / 'pipeline'})", "keras-sat")
    assert str(Path("pipeline", "__init__.py")) in hidden.stderr
    script = [target / "bin" / "keras-sat", "prepare", "--help"]
    environment = {**os.environ, "PYTHONPATH": str(target)}
    subprocess.run(script, cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL)
