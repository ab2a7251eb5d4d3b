"""python -m keras_sat.regions --run runs/scenes_areas --split test

Evaluates a run with fewer and fewer regions at test time (every second, third, … cell of the grid or transformers; the first
so many proposals) and writes table and plot: quality against the number of regions (Pedersoli et al. 2017, figure 4).
"""

import argparse
import dataclasses
from pathlib import Path

from keras_sat.evaluation.scorers import check_metrics
from keras_sat.runs.ensemble import add_decoding, with_arguments
from keras_sat.utils.errors import UserError, command

METRICS = ("bleu", "cider")  # METEOR starts a Java process for every number of regions


def sweep(run, split="test", metrics=METRICS, counts=(), limit=0, folder=None):
    """Evaluates a run over numbers of regions.

    Args:
        run: a `keras_sat.runs.run.Run`. counts: strides of the grid's or transformers' cells, or numbers of proposals; none:
            every stride that gives another number, or 1, 2, 5, 10, 20, 50, … proposals. limit, folder: see `evaluate`.
    Returns:
        {title: `Evaluation`}, by growing number of regions, which is among the facts as "regions".
    Raises:
        UserError: a stride or a number that the regions do not have.
    """
    import numpy as np

    from keras_sat.evaluate import evaluate_model
    from keras_sat.evaluation.attention_correctness import present

    data = run.data(folder)
    data.shards(split)
    model = run.load_model()
    setting, possible = _possible(model, data)
    if wrong := next((count for count in counts if not 1 <= count <= max(possible)), None):
        raise UserError(
            f"--counts {wrong}: model.{setting} lies between 1 and {max(possible)} here"
        )
    captioner, evaluations = run.captioner(model), {}
    for count in counts or possible:
        setattr(model.areas, setting, count)
        captioned, evaluation = evaluate_model(captioner, run, data, split, metrics, limit)
        regions = float(np.mean([present(each.boxes).sum() for each in captioned]))
        evaluations[f"{setting}={count}"] = dataclasses.replace(
            evaluation, facts={**evaluation.facts, "regions": regions}
        )
    return dict(sorted(evaluations.items(), key=lambda item: item[1].facts["regions"]))


def _possible(model, data):
    """The name of the areas' setting that decides how many regions there are at test time, and the values worth trying."""
    if "boxes" in model.input_shapes:
        most = model.input_shapes["boxes"][0]
        return "test_boxes", [
            n * power for power in (1, 10, 100, 1000) for n in (1, 2, 5) if n * power < most
        ] + [most]
    height, width, _ = data.feature_shape
    strides = {}  # the smallest that gives so many cells
    for stride in range(1, min(height, width) + 1):
        strides.setdefault((-(-height // stride), -(-width // stride)), stride)
    return "test_stride", list(strides.values())


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m keras_sat.regions", description=__doc__.split("\n\n")[1]
    )
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
    if not all(count.isdecimal() for count in args.counts.split(",") if args.counts):
        raise UserError(f"--counts {args.counts}: expected numbers such as 1,2,4")
    counts = [int(count) for count in args.counts.split(",") if count]
    from keras_sat.evaluation.report import HEADLINE, write_comparison
    from keras_sat.runs.run import open_run
    from keras_sat.visualize.comparison import save_curve

    run = with_arguments(open_run(args.run), args)
    evaluations = sweep(run, args.split, metrics, counts, args.limit, args.data)
    folder = Path(args.output or run.folder / "evaluation" / f"{args.split}_regions")
    text = write_comparison(folder, evaluations, HEADLINE, systems_as="rows")
    save_curve(folder / "plot.png", evaluations)
    print(f"{args.split} split, percent, 95% confidence intervals\n\n{text}\n")
    print(f"{folder}/table.md, table.json, images.csv, plot.png")


if __name__ == "__main__":
    main()
