"""The command `keras-sat`: one table of all commands. It imports only the one that is asked for."""

import importlib
import sys

from keras_sat import __version__
from keras_sat.cli.commands import COMMANDS
from keras_sat.utils.errors import UserError, command, nearest


@command
def main(arguments=None):
    """Runs a command by its name, with the rest of the arguments."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return
    if arguments[0] == "--version":
        print(f"keras_sat {__version__}")
        return
    name, *rest = arguments
    if name not in COMMANDS:
        raise UserError(f"{name}: no such command{nearest(name, COMMANDS)}")
    importlib.import_module(COMMANDS[name].module).main(rest)


def overview():
    """The help text: all commands, a line each."""
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:{width}}  {each.summary}" for name, each in COMMANDS.items()]
    return "\n".join(
        [
            "usage: keras-sat COMMAND [OPTION …]",
            "",
            "Attention captioners: prepare, train, evaluate, explain and serve.",
            "",
            *lines,
            "",
            "keras-sat COMMAND --help tells about its options. To begin: keras-sat demo",
        ]
    )
