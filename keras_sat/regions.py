"""keras-sat regions --run runs/scenes_areas --split test

Evaluates a run with fewer and fewer regions at test time (every second, third, … cell of the grid
or of the transformers; the first N proposals) and writes a table and a plot: quality against the
number of regions (Pedersoli et al. 2017, figure 4).
"""

from pathlib import Path

from keras_sat.cli.arguments import add_decoding, command_parser, with_decoding
from keras_sat.evaluation.scorers import check_metrics
from keras_sat.runs.run import open_run
from keras_sat.utils.errors import UserError, command

METRICS = ("bleu", "cider")  # METEOR starts a Java process for every number of regions


@command
def main(arguments=None):
    parser = command_parser("keras_sat.regions", __doc__)
    parser.add_argument("--run", required=True, metavar="DIR", help="a trained run")
    parser.add_argument("--split", default="test", help="train, val or test (default)")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="the prepared data set (default: the one the run was trained on)",
    )
    parser.add_argument(
        "--metrics", default=",".join(METRICS), help="comma-separated (default: %(default)s)"
    )
    parser.add_argument(
        "--counts",
        default="",
        metavar="N,N,…",
        help="strides, or numbers of proposals (default: many)",
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N images")
    parser.add_argument(
        "--output", metavar="DIR", help="(default: the run's evaluation/SPLIT_regions)"
    )
    add_decoding(parser)
    args = parser.parse_args(arguments)
    metrics = check_metrics(args.metrics.split(","))
    counts = _read_counts(args.counts)
    run = with_decoding(open_run(args.run), args)

    from keras_sat.evaluation.regions import sweep
    from keras_sat.evaluation.report import HEADLINE, write_comparison
    from keras_sat.visualize.comparison import save_curve

    evaluations = sweep(run, args.split, metrics, counts, args.limit, args.data)
    folder = Path(args.output or run.folder / "evaluation" / f"{args.split}_regions")
    text = write_comparison(folder, evaluations, HEADLINE, systems_as="rows")
    save_curve(folder / "plot.png", evaluations)
    print(f"{args.split} split, percent, 95% confidence intervals\n\n{text}\n")
    print(f"{folder}/table.md, table.json, images.csv, plot.png")


def _read_counts(text):
    counts = text.split(",") if text else []
    if not all(count.isdecimal() for count in counts):
        raise UserError(f"--counts {text}: expected numbers such as 1,2,4")
    return [int(count) for count in counts]


if __name__ == "__main__":
    main()
