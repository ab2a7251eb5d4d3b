"""`keras-sat`: every command by its name."""

import importlib

import pytest

from keras_sat.cli.commands import COMMANDS, command_name
from keras_sat.cli.main import main
from tests.support.commands import assert_one_line, call


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_its_help_under_its_name(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: keras-sat {name} ")
    assert command_name(COMMANDS[name].module) == f"keras-sat {name}"
    assert callable(importlib.import_module(COMMANDS[name].module).main)


def test_the_overview_names_every_command(capsys):
    main(["--help"])
    overview = capsys.readouterr().out
    for name, each in COMMANDS.items():
        assert f"  {name} " in overview and each.summary in overview
    main(["--version"])
    assert capsys.readouterr().out.startswith("keras_sat ")


def test_an_unknown_command_is_one_line():
    assert_one_line(call("keras_sat", "trian"), "trian: no such command; did you mean train?")
