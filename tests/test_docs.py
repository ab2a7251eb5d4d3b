"""The documentation says what is so: its links lead somewhere, its commands and settings exist."""

import argparse
import ast
import glob
import importlib
import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
import yaml

from keras_sat import config
from keras_sat.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT)
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "tests" / "README.md"]
)
# The programs of others that the documentation calls.
FOREIGN = {
    ".",
    ".venv/bin/python",
    "curl",
    "docker",
    "pip",
    "pip-audit",
    "python3.11",
    "tensorboard",
}
WITH_BEAM_OPTIONS = {"pipeline.prepare", "pipeline.run"}

FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    ((?:keras-sat|python -m) .+)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(r"`((?:benchmarks|configs|docs|keras_sat|pipeline|results|tests)/[\w/.*+-]+)`")


def read(page):
    """The text of a file of the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page):
    """A page without its code blocks."""
    return FENCED.sub("", read(page))


def blocks(page, language):
    """The code blocks of a page that are in this language."""
    return [body for name, body in FENCED.findall(read(page)) if name == language]


def anchors(page):
    """The fragments of the headings of a page, as GitHub and Python-Markdown make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for target in LINK.findall(prose(page)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.resolve().relative_to(ROOT)), target


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_that_is_named_exists(page):
    for name in FILE.findall(prose(page)):
        if "NAME" in name:
            continue
        folders = [ROOT, ROOT / "tests"]
        assert any(any(folder.glob(name.rstrip("/"))) for folder in folders), name


class Parsed(Exception):
    """A command has parsed its arguments, and goes no further."""


def parsed(module, arguments, monkeypatch):
    """What a command parses of its arguments. Wrong ones end it with SystemExit."""
    original = argparse.ArgumentParser.parse_known_args

    def parse_known_args(self, args=None, namespace=None):
        raise Parsed(original(self, args, namespace))

    with monkeypatch.context() as patched:
        patched.setattr(argparse.ArgumentParser, "parse_known_args", parse_known_args)
        with pytest.raises(Parsed) as end:
            importlib.import_module(module).main(arguments)
    args, rest = end.value.args[0]
    assert not rest or module in WITH_BEAM_OPTIONS, f"{module}: {rest}"
    return args


def lines(text):
    """The command lines of a text, each a list of words."""
    for line in text.replace("\\\n", " ").splitlines():
        words = []
        for word in shlex.split(line.rpartition(" | ")[2], comments=True):
            matches = sorted(glob.glob(word)) if "*" in word else []
            words += matches or [word]
        while words and re.match(r"\w+=", words[0]):  # a variable of the environment
            words.pop(0)
        if words:
            yield words


def check_settings(module, args):
    """The experiments that the arguments name exist, and have the keys that they set."""
    settings = list(getattr(args, "set", []))
    if module == "pipeline.prepare" or module.startswith("benchmarks"):
        settings = [f"prepare.{setting}" for setting in settings]
    names = list(getattr(args, "configs", []))
    if not names:
        model = getattr(args, "model", None)
        is_system = model in config.SYSTEMS
        names = [getattr(args, "config", None) or (f"scenes_{model}" if is_system else None)]
    for name in names:
        config.load(name, settings)


def check_commands(text, monkeypatch):
    """Every command line of a text has a command, and arguments that it takes."""
    for words in lines(text):
        if words[0] == "make":
            assert re.search(f"^{words[1]}:", read("Makefile"), re.MULTILINE), words
        elif words[0] == "keras-sat" and words[1] not in ("--help", "--version"):
            module = COMMANDS[words[1]].module
            check_settings(module, parsed(module, words[2:], monkeypatch))
        elif words[:2] == ["python", "-m"] and words[2].startswith("benchmarks"):
            assert (ROOT / (words[2].replace(".", "/") + ".py")).exists(), words
        elif words[:2] == ["python", "-m"] and words[2] != "pytest":
            module = words[2]
            check_settings(module, parsed(module, words[3:], monkeypatch))
        else:
            assert words[0] in FOREIGN | {"keras-sat", "python"}, words


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_and_setting_exists(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for block in blocks(page, "yaml"):
        name = re.match(r"# (\w+\.yaml)\n", block)
        if name:
            (tmp_path / name[1]).write_text(block, encoding="utf-8")
    text = "\n".join([*blocks(page, "bash"), *INDENTED.findall(read(page))])
    check_commands(text, monkeypatch)


def test_the_commands_of_every_configuration_exist(monkeypatch):
    monkeypatch.chdir(ROOT)
    for path in sorted(config.CONFIGS.glob("*.yaml")):
        header = re.findall(r"^#   (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert header, path
        check_commands("\n".join(header), monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_examples_in_python_yaml_and_json_can_be_read(page):
    for block in blocks(page, "python"):
        ast.parse(block)
    for language in ("yaml", "json"):
        for block in blocks(page, language):
            assert yaml.safe_load(block)


def test_the_configuration_reference_is_made_of_the_settings():
    reference = runpy.run_path(str(ROOT / "docs" / "configuration.py"))["reference"]()
    stale = "docs/configuration.md is stale: make docs writes it anew"
    assert read("docs/configuration.md") == reference, stale
    for system in config.SYSTEMS.values():
        assert "`model.name`" in reference and system.__doc__.split(".")[0] in reference


def test_the_site_has_every_page_once():
    named = re.findall(r": (\S+\.(?:md|ipynb))$", read("mkdocs.yml"), re.MULTILINE)
    assert len(named) == len(set(named))
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/*.ipynb")]
    assert set(named) == {path.name for path in pages}


def test_the_readme_is_short_and_has_one_table():
    readme = read("README.md")
    assert 100 <= len(readme.splitlines()) <= 160
    assert len(re.findall(r"^\|(?:---\|)+$", readme, re.MULTILINE)) == 1
    words = re.sub(r"`[^`\n]*`", "", LINK.sub("", prose("README.md")))
    assert "(" not in words, "an aside in parentheses"


def test_the_version_has_one_place():
    assert re.search(r'^dynamic = \["version"\]$', read("pyproject.toml"), re.MULTILINE)
    from_source = re.search(r'^__version__ = "(.+)"$', read("keras_sat/__init__.py"), re.MULTILINE)
    assert f"## {from_source[1]}\n" in read("CHANGELOG.md")


@pytest.mark.parametrize(
    "label, record",
    [
        ("Show and Tell", "flickr8k_show_and_tell_val"),
        (
            "Areas of Attention, spatial transformers, with teachers",
            "flickr8k_areas_transformer_distilled_val",
        ),
        ("hard attention, with teachers", "flickr8k_hard_distilled_val"),
        ("soft attention, with teachers", "flickr8k_soft_distilled_val"),
        (
            "soft attention, ensemble of three seeds",
            "flickr8k_soft+flickr8k_soft_seed2+flickr8k_soft_seed3_val",
        ),
        ("soft attention", "flickr8k_soft_val"),
        ("**soft attention**", "flickr8k_soft_test"),
    ],
)
def test_the_readmes_rows_are_recorded(label, record):
    scores = json.loads(read(f"results/{record}.json"))["scores"]
    names = ["bleu1", "bleu2", "bleu3", "bleu4", "meteor", "cider"]
    cells = [f"{100 * scores[name]:.1f}" for name in names]
    [row] = [line for line in read("README.md").splitlines() if line.startswith(f"| {label} | ")]
    assert row.replace("**", "").split(" | ")[2:] == [*cells[:-1], f"{cells[-1]} |"]


@pytest.mark.parametrize("package", ["keras_sat", "keras_sat.data", "serving.client"])
def test_every_public_name_is_in_the_api_reference(package):
    reference = read("docs/api.md")
    for name, module in importlib.import_module(package)._MODULES.items():
        whole = re.search(rf"^::: {module}\.{name}$", reference, re.MULTILINE)
        part = re.search(rf"^::: {module}\n.*\n +members: \[.*\b{name}\b", reference, re.MULTILINE)
        assert whole or part, f"{module}.{name}"
