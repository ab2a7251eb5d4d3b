"""Arguments that several commands have, and the settings and experiments that they describe.

It imports no TensorFlow.
"""

import argparse
import dataclasses
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.cli.commands import command_name
from keras_sat.utils.errors import UserError


def command_parser(module, doc, **kwargs):
    """The parser of a command.

    Args:
        module: the command's, such as `keras_sat.train`.
        doc: its docstring, whose second paragraph describes the command.
        kwargs: further arguments of argparse.ArgumentParser.
    """
    description = doc.split("\n\n")[1]
    return argparse.ArgumentParser(prog=command_name(module), description=description, **kwargs)


def add_runs(parser, several, required=True):
    """Adds --run, and what `add_decoding` adds.

    Args:
        parser: an argparse.ArgumentParser.
        several: what it means to name several runs.
        required: whether there must be a run.
    """
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="DIR",
        required=required,
        help=f"a trained run; {several}",
    )
    add_decoding(parser)


def add_decoding(parser):
    """Adds --beam, --set and --trust-encoder, for `with_decoding`."""
    add_trust(parser)
    parser.add_argument("--beam", type=int, metavar="K", help="hypotheses per image (1: greedy)")
    add_settings(parser, "such as decoding.length_penalty=0.7")


def add_trust(parser):
    """Adds --trust-encoder."""
    parser.add_argument(
        "--trust-encoder",
        action="store_true",
        help="load an encoder that could run any code, see docs/security.md",
    )


def add_settings(parser, text):
    """Adds --set KEY=VALUE, which may be repeated."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=text)


def with_decoding(run, args):
    """The `Run` or `RunEnsemble` as the arguments of `add_decoding` want it."""
    overrides = list(args.set)
    if args.beam is not None:
        overrides.append(("decoding.beam", args.beam))
    experiment = configuration.with_decoding(run.experiment, overrides)
    run = dataclasses.replace(run, experiment=experiment)
    return run.trusting() if args.trust_encoder else run


def add_experiments(parser):
    """Adds the arguments that name experiments, their runs, and the split to evaluate them on."""
    parser.add_argument(
        "configs",
        nargs="+",
        metavar="NAME",
        help="experiments: names such as flickr8k_soft, or YAML files; runs are called like them",
    )
    parser.add_argument(
        "--runs", default="runs", metavar="DIR", help="where the runs are (default: runs)"
    )
    parser.add_argument("--split", default="test", help="train, val or test (default)")
    add_settings(parser, "for all of them, such as seed=2")
    parser.add_argument(
        "--suffix", default="", metavar="TEXT", help="ends the runs' names, such as _seed2"
    )


def load_experiments(args):
    """{name: `keras_sat.config.Experiment`} of the arguments of `add_experiments`.

    Raises:
        UserError: as `keras_sat.config.load`; two files of one name; a data set that is missing,
            with the command that makes it.
    """
    experiments = {}
    for path in args.configs:
        name = Path(path).stem + args.suffix
        if name in experiments:
            raise UserError(
                f"{path}: another experiment is called {name} too; rename one of the files"
            )
        experiments[name] = configuration.load(path, args.set)
        check_data(experiments[name], path)
    return experiments


def check_data(experiment, path=None):
    """Checks that an experiment's data set is there, or is the built-in one.

    Args:
        experiment: a `keras_sat.config.Experiment`.
        path: its file, for the message.

    Raises:
        UserError: it is neither.
    """
    folder = Path(experiment.data.path)
    if not wants_built_in(experiment) and not folder.exists():
        what = f"--config {path}" if path else f"--dataset {experiment.prepare.dataset}"
        raise UserError(
            f"{folder}: no such data set; make it: keras-sat prepare {what} --output {folder}"
        )


def wants_built_in(experiment):
    """Whether an experiment asks for the built-in data set.

    It does so by its `prepare` section, or by a data folder named `scenes…`.
    """
    section = experiment.prepare
    named = Path(experiment.data.path).name.startswith("scenes")
    return section.dataset == "scenes" and (named or section != configuration.Prepare())
