"""keras-sat compare configs/scenes_soft.yaml configs/scenes_hard.yaml --output comparison

Trains experiments one after the other (a run that exists is taken as it is), evaluates all of them
on one split, and writes a table (Markdown and JSON) and a plot, with confidence intervals and the
paired differences to the first one. This is how ablations and systems are compared like for like.
"""

from pathlib import Path

from keras_sat.cli.arguments import add_experiments, command_parser, load_experiments
from keras_sat.utils.errors import command


@command
def main(arguments=None):
    parser = command_parser("keras_sat.compare", __doc__)
    add_experiments(parser)
    parser.add_argument(
        "--output",
        default="comparison",
        metavar="DIR",
        help="for table and plot (default: comparison)",
    )
    args = parser.parse_args(arguments)
    experiments = load_experiments(args)

    from keras_sat.cli.experiments import compare
    from keras_sat.evaluation.report import HEADLINE, write_comparison
    from keras_sat.visualize.comparison import save_comparison

    evaluations = {}
    for run, evaluation in compare(experiments, Path(args.runs), args.split, args.suffix):
        evaluations[run.folder.name] = evaluation
    output = Path(args.output)
    text = write_comparison(output, evaluations, HEADLINE, systems_as="rows")
    save_comparison(output / "plot.png", evaluations)
    print(f"\n{args.split} split, percent, 95% confidence intervals\n\n{text}\n")
    print(f"{output}/table.md, table.json, plot.png")


if __name__ == "__main__":
    main()
