"""keras-sat train --model soft

Trains a captioner. Alone, on a fresh checkout, it prepares the built-in data set and trains on it.
The same command again resumes an interrupted run.
"""

import argparse
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.cli.arguments import add_settings, add_trust, check_data, command_parser
from keras_sat.cli.presets import choose
from keras_sat.data.prepared import open_prepared
from keras_sat.runs.prerequisites import check_prerequisites
from keras_sat.utils.errors import command


@command
def main(arguments=None):
    parser = command_parser("keras_sat.train", __doc__)
    systems = ", ".join(configuration.SYSTEMS)
    parser.add_argument("--model", help=f"the system: {systems} (default: soft)")
    parser.add_argument(
        "--config",
        metavar="NAME",
        help="an experiment: a name such as flickr8k_soft, or a YAML file",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="a prepared data set, which also chooses the settings where there is no --config",
    )
    parser.add_argument(
        "--run", metavar="DIR", help="the run's folder (default: runs/ and the experiment's name)"
    )
    parser.add_argument(
        "--profile",
        metavar="FIRST:LAST",
        type=_updates,
        help="the updates whose time TensorBoard's profiler records, such as 10:20",
    )
    add_settings(parser, "such as train.epochs=10")
    add_trust(parser)
    args = parser.parse_args(arguments)
    data = open_prepared(args.data) if args.data else None
    chosen = choose(args.model, args.config, data, args.set)
    folder = Path(args.run or f"runs/{chosen.name}")
    if data:
        check_prerequisites(chosen.experiment, folder)
    else:
        check_data(chosen.experiment, args.config)
    print(f"settings: {chosen.settings}; run: {folder}", flush=True)

    from keras_sat.cli.experiments import prepare_built_in
    from keras_sat.training.train import train

    if not data:
        prepare_built_in(chosen.experiment, args.config)
    train(chosen.experiment, folder, profile=args.profile, trust_encoder=args.trust_encoder)


def _updates(text):
    """The pair (first, last) that --profile gives."""
    first, _, last = text.partition(":")
    try:
        updates = (int(first), int(last))
    except ValueError:
        updates = (0, 0)
    if not 0 < updates[0] <= updates[1]:
        raise argparse.ArgumentTypeError(f"{text}: expected FIRST:LAST, such as 10:20")
    return updates


if __name__ == "__main__":
    main()
