"""keras-sat demo

Goes from nothing to captions with attention in one process: prepares scenes, trains soft attention
and, for comparison, the same model without attention (it sees the mean annotation only), evaluates
both on the test split, and draws pictures.
"""

import time
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.cli.arguments import add_settings, command_parser
from keras_sat.utils.errors import command

TITLES = {"scenes_soft": "soft attention", "scenes_mean": "mean annotation only"}
PICTURES = 12


@command
def main(arguments=None):
    parser = command_parser("keras_sat.demo", __doc__)
    parser.add_argument(
        "--output", default="demo", metavar="DIR", help="where everything goes (default: demo)"
    )
    add_settings(parser, "such as train.epochs=2")
    args = parser.parse_args(arguments)
    started = time.monotonic()
    output = Path(args.output)
    overrides = [("data.path", f"{output}/scenes"), *args.set]
    experiments = {}
    for name in TITLES:
        experiments[name] = configuration.load(name, overrides)

    from keras_sat.cli.experiments import compare
    from keras_sat.cli.pictures import draw_test_pictures
    from keras_sat.evaluation.report import table

    compared = list(compare(experiments, output / "runs"))
    scores = table({TITLES[run.folder.name]: evaluation for run, evaluation in compared})
    (output / "scores.md").write_text(scores + "\n", encoding="utf-8")
    run, _ = compared[0]
    pictures = draw_test_pictures(run, output / "pictures", PICTURES)
    print(f"\nscenes, test split, percent, 95% confidence intervals\n\n{scores}\n")
    print(f"Where the captioner looks: {pictures[0]} and {len(pictures) - 1} more beside it")
    print(f"Scores: {output}/scores.md   TensorBoard: tensorboard --logdir {output}/runs")
    print(f"Everything took {(time.monotonic() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
