"""The names of the commands, in the order in which people need them."""

from typing import NamedTuple


class Command(NamedTuple):
    """What `keras-sat NAME` runs.

    Attributes:
        module: its function main(arguments) is the command.
        summary: what it does, in one line.
    """

    module: str
    summary: str


COMMANDS = {
    "demo": Command("keras_sat.demo", "from nothing to captions with attention, in ten minutes"),
    "prepare": Command("pipeline.prepare", "make a data set of a folder of captioned pictures"),
    "train": Command("keras_sat.train", "train a captioner, or resume its training"),
    "evaluate": Command("keras_sat.evaluate", "measure runs, or captions of other programs"),
    "caption": Command("keras_sat.caption", "caption pictures, and show where the model looks"),
    "compare": Command("keras_sat.compare", "train several experiments and compare their scores"),
    "reproduce": Command("keras_sat.reproduce", "train experiments and record their scores"),
    "regions": Command("keras_sat.regions", "measure quality against the number of regions"),
    "run": Command("pipeline.run", "the whole chain, from a corpus to a served model"),
    "export": Command("keras_sat.export", "make a SavedModel of a run, for TensorFlow Serving"),
    "pack": Command("keras_sat.pack", "put a run into one file"),
    "verify": Command(
        "keras_sat.verify", "check that no file of a data set, run or export changed"
    ),
    "serve": Command("serving.server.__main__", "answer requests by gRPC"),
    "client": Command("serving.client.__main__", "ask a server for captions"),
    "try": Command("serving.web.__main__", "a page to try captioners in the browser"),
}


def command_name(module):
    """How a command is called: `keras-sat NAME`, or by its module if it has no name."""
    for name, each in COMMANDS.items():
        if each.module == module:
            return f"keras-sat {name}"
    return f"python -m {module}"
