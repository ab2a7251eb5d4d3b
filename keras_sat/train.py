"""python -m keras_sat.train --model soft

Trains a captioner. Alone, on a fresh checkout, it prepares the built-in data set and trains on it.
The same command again resumes an interrupted run.
"""

from pathlib import Path

from keras_sat import config as configuration
from keras_sat.cli.arguments import (
    add_settings,
    add_trust,
    check_data,
    command_parser,
    load_experiment,
)
from keras_sat.runs.prerequisites import check_prerequisites
from keras_sat.utils.errors import command


@command
def main(arguments=None):
    parser = command_parser("keras_sat.train", __doc__)
    systems = ", ".join(configuration.SYSTEMS)
    parser.add_argument("--model", help=f"the system: {systems} (default: soft)")
    parser.add_argument(
        "--config", metavar="YAML", help="an experiment (default: configs/scenes_MODEL.yaml)"
    )
    parser.add_argument(
        "--data", metavar="DIR", help="a prepared data set, instead of the experiment's"
    )
    parser.add_argument(
        "--run", metavar="DIR", help="the run's folder (default: runs/ and the experiment's name)"
    )
    add_settings(parser, "such as train.epochs=10")
    add_trust(parser)
    args = parser.parse_args(arguments)
    experiment = load_experiment(args.model, args.config, args.data, args.set)
    name = Path(args.config).stem if args.config else f"scenes_{experiment.model.name}"
    folder = Path(args.run or f"runs/{name}")
    if args.data:
        check_prerequisites(experiment, folder)
    else:
        check_data(experiment, args.config)

    from keras_sat.cli.experiments import prepare_built_in
    from keras_sat.training.train import train

    if not args.data:
        prepare_built_in(experiment, args.config)
    train(experiment, folder, args.trust_encoder)


if __name__ == "__main__":
    main()
