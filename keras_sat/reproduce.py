"""keras-sat reproduce configs/flickr8k_soft.yaml --split val

Trains an experiment (or takes the run that exists), evaluates it, and records it in results/: the
scores with their intervals, settings, seed, commit, the data's fingerprint, epochs and time as
NAME_SPLIT.json, the captions beside it. An evaluation of the same weights that is already recorded
is not repeated; to repeat it, remove its file. The table and the learning curves are then made anew
from all records.
"""

from pathlib import Path

from keras_sat.cli.arguments import add_experiments, command_parser, load_experiments
from keras_sat.utils.errors import UserError, command


@command
def main(arguments=None):
    parser = command_parser("keras_sat.reproduce", __doc__)
    add_experiments(parser)
    parser.add_argument(
        "--ensemble", action="store_true", help="record all of them as one captioner, too"
    )
    parser.add_argument(
        "--output",
        default="results",
        metavar="DIR",
        help="where rows are recorded (default: results)",
    )
    args = parser.parse_args(arguments)
    experiments = load_experiments(args)
    if args.ensemble and len(experiments) == 1:
        raise UserError("--ensemble: needs several experiments")
    output = Path(args.output)

    from keras_sat.cli.experiments import reproduce

    text = reproduce(experiments, Path(args.runs), output, args.split, args.suffix, args.ensemble)
    print(f"\n{args.split} split, percent, 95% confidence intervals\n\n{text}\n")
    names = f"table_{args.split}.md, curves_{args.split}.png"
    print(f"{output}/{names}, and a .json and the captions of each row")


if __name__ == "__main__":
    main()
