"""keras-sat run --config configs/scenes_soft.yaml [any Beam option]

The whole chain: ExampleGen, StatisticsGen, SchemaGen, ExampleValidator and Transform, then Trainer
and Evaluator, and with --push the Evaluator's blessing, InfraValidator and Pusher. What is done and
unchanged is skipped, what was interrupted is resumed. lineage.json in the run's folder says what
came from what.
"""

from pathlib import Path

from keras_sat import config as configuration
from keras_sat.cli.arguments import command_parser
from keras_sat.evaluation.scorers import METRICS, check_metrics
from keras_sat.utils.errors import command


@command
def main(arguments=None):
    parser = command_parser("pipeline.run", __doc__, epilog="Any other option goes to Beam.")
    parser.add_argument(
        "--config",
        required=True,
        metavar="NAME",
        help="the experiment: a name such as flickr8k_soft, or a YAML file",
    )
    parser.add_argument(
        "--run", metavar="DIR", help="the run's folder (default: runs/ and the experiment's name)"
    )
    parser.add_argument(
        "--push",
        metavar="DIR",
        help="the model's folder, such as serving/models/NAME (push.folder)",
    )
    parser.add_argument(
        "--metrics", default=",".join(METRICS), help="comma-separated (default: %(default)s)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="such as train.epochs=10"
    )
    args, beam_flags = parser.parse_known_args(arguments)
    overrides = list(args.set)
    if args.push:
        overrides.append(("push.folder", args.push))
    experiment = configuration.load(args.config, overrides)
    folder = args.run or f"runs/{Path(args.config).stem}"
    metrics = check_metrics(args.metrics.split(","))

    from keras_sat.cli.chain import run_chain

    run_chain(experiment, folder, metrics, beam_flags)
    print(f"{folder}/lineage.json")


if __name__ == "__main__":
    main()
