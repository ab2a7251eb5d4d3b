"""The arguments of the commands that bless and push a trained run."""

import dataclasses

from keras_sat.cli.arguments import command_parser
from keras_sat.runs.run import open_run
from keras_sat.utils.errors import UserError


def blessing_parser(component, doc):
    """The parser of a component's command, with --run and --push.

    Args:
        component: the command's module in pipeline/.
        doc: the module's docstring, whose second paragraph describes the command.
    """
    parser = command_parser(f"pipeline.{component}", doc)
    parser.add_argument("--run", required=True, metavar="DIR", help="a trained run")
    parser.add_argument(
        "--push",
        metavar="DIR",
        help="the model's folder, such as serving/models/NAME (default: the run's)",
    )
    return parser


def run_to_push(args):
    """The run of these arguments; its experiment names the folder to push to.

    Raises:
        UserError: the run cannot be opened, or no folder to push to is given.
    """
    run = open_run(args.run)
    folder = args.push or run.experiment.push.folder
    if not folder:
        raise UserError(
            "say where to: --push serving/models/NAME, or push.folder in the experiment"
        )
    push = dataclasses.replace(run.experiment.push, folder=folder)
    return dataclasses.replace(run, experiment=dataclasses.replace(run.experiment, push=push))
