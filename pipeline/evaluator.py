"""python -m pipeline.evaluator --run runs/scenes_soft --push serving/models/scenes_soft

Evaluator: scores a trained run and blesses it if its scores reach `push.at_least` and are at most
`push.must_not_lose` below those of the last version in the model's folder.
"""

from keras_sat.cli.blessing_arguments import blessing_parser, run_to_push
from keras_sat.evaluation.scorers import METRICS, check_metrics
from keras_sat.utils.errors import command


@command
def main(arguments=None):
    parser = blessing_parser("evaluator", __doc__)
    parser.add_argument("--split", help="to judge by (default: test, or val where there is none)")
    parser.add_argument(
        "--metrics", default=",".join(METRICS), help="comma-separated (default: %(default)s)"
    )
    args = parser.parse_args(arguments)
    run = run_to_push(args)
    metrics = check_metrics(args.metrics.split(","))

    from pipeline.blessing.evaluator import evaluate_and_bless

    print(f"BLESSED: {evaluate_and_bless(run, metrics, args.split)}")


if __name__ == "__main__":
    main()
