"""keras-sat evaluate --run runs/scenes_soft --split test

Captions a split with a run's best checkpoint and scores the captions with pycocoevalcap,
PTB-tokenised, with 95% confidence intervals. Where the data set has the boxes of nouns, it also
reports how much of the attention lies in them, and how many attributes of one thing the captions
give to another. Several runs, or captions of any other program in COCO's results format
(--results), are compared side by side, with their paired differences to the first.
"""

from keras_sat.cli.arguments import add_runs, command_parser, with_decoding
from keras_sat.evaluation.java import java_on_path
from keras_sat.evaluation.results_file import read_results
from keras_sat.evaluation.scorers import check_metrics, default_metrics
from keras_sat.runs.ensemble import open_runs
from keras_sat.utils.errors import UserError, command


@command
def main(arguments=None):
    default, note = default_metrics()
    parser = command_parser("keras_sat.evaluate", __doc__)
    add_runs(parser, "several are evaluated side by side", required=False)
    parser.add_argument(
        "--ensemble", action="store_true", help="evaluate the runs as one captioner, too"
    )
    parser.add_argument(
        "--results",
        action="append",
        default=[],
        metavar="JSON",
        help="captions in COCO's results format",
    )
    parser.add_argument("--split", default="test", help="train, val or test (default)")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="the prepared data set (default: the one the run was trained on)",
    )
    parser.add_argument(
        "--metrics", default=",".join(default), help="comma-separated (default: %(default)s)"
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N images")
    parser.add_argument(
        "--gallery", action="store_true", help="write a page of best, worst and random captions"
    )
    parser.add_argument(
        "--output", metavar="DIR", help="for the table of several systems (default: comparison)"
    )
    args = parser.parse_args(arguments)
    metrics = check_metrics(args.metrics.split(","))
    if not args.run and not (args.results and args.data):
        raise UserError("say what to evaluate: --run DIR, or --results JSON with --data DIR")
    if args.results and args.limit:
        raise UserError("--limit: a results file is scored as a whole; leave it out")
    # The Penn Treebank tokeniser needs Java. A missing one is better reported before captioning.
    java_on_path()
    results = {path: read_results(path) for path in args.results}
    groups = [[folder] for folder in args.run]
    if args.ensemble and len(args.run) > 1:
        groups.append(args.run)
    runs = [with_decoding(open_runs(group), args) for group in groups]

    from keras_sat.cli.evaluations import evaluate_side_by_side

    systems, table, written = evaluate_side_by_side(runs, results, args, metrics)
    images = len(next(iter(systems.values())).captions)
    print(f"{args.split} split, {images} images, percent, 95% confidence intervals\n\n{table}\n")
    if args.metrics == ",".join(default):
        written.append(note)
    print("\n".join(written))


if __name__ == "__main__":
    main()
