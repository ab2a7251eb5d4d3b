"""python -m keras_sat.reproduce configs/flickr8k_soft.yaml --split val

Trains an experiment (or takes the run that is there already), evaluates it, and records it in results/: the scores with
their intervals, settings, seed, commit, the data's fingerprint, epochs and time as NAME_SPLIT.json, the captions beside it.
What is recorded there of the same weights already is not evaluated again (remove its file, and it is). The table and the
learning curves are then made anew from all that was recorded.
"""

import argparse
from pathlib import Path

from keras_sat.compare import add_experiments, experiments_of, measure, train_all
from keras_sat.evaluation import records
from keras_sat.utils.errors import UserError, command


def reproduce(experiments, runs, results, split="test", suffix="", ensemble=False):
    """Trains and evaluates experiments and records them in the folder `results`.

    Args:
        experiments, runs, suffix: see `train_all`.
        ensemble: record, too, what all of them give as one captioner.
    Returns:
        The table of everything recorded of this split, Markdown.
    """
    from keras_sat.runs.ensemble import open_runs
    from keras_sat.visualize.curves import save_curves

    records.read(results, split)  # those that cannot be read had better be found now

    def record(run):
        if not records.recorded(results, split, run):
            records.write(results, split, run, measure(run, split))
        return run.folder

    trained = [record(run) for run in train_all(experiments, runs, split, suffix)]
    if ensemble:
        record(open_runs(trained))
    recorded = records.read(results, split)
    save_curves(results / f"curves_{split}.png", recorded)
    return records.write_table(results, split, recorded)


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m keras_sat.reproduce", description=__doc__.split("\n\n")[1]
    )
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
    experiments = experiments_of(args)
    if args.ensemble and len(experiments) == 1:
        raise UserError("--ensemble: needs several experiments")
    output = Path(args.output)
    text = reproduce(experiments, Path(args.runs), output, args.split, args.suffix, args.ensemble)
    print(f"\n{args.split} split, percent, 95% confidence intervals\n\n{text}\n")
    print(
        f"{output}/table_{args.split}.md, curves_{args.split}.png, and a .json and the captions of each row"
    )


if __name__ == "__main__":
    main()
