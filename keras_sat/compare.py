"""python -m keras_sat.compare configs/scenes_soft.yaml configs/scenes_hard.yaml --output comparison

Trains experiments one after the other (a run that is there already is taken as it is), evaluates all of them on one split,
and writes the table (Markdown and JSON) and a plot, with confidence intervals and the paired differences to the first one.
This is how ablations and systems are compared on one footing.
"""

import argparse
import dataclasses
import statistics
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.data.prepared import open_prepared
from keras_sat.evaluation.java import java_on_path
from keras_sat.evaluation.scorers import default_metrics
from keras_sat.train import check_needed, check_prepared, prepare_built_in, train
from keras_sat.utils.errors import UserError, command


def train_all(experiments, runs, split="test", suffix=""):
    """Trains experiments.

    Args:
        experiments: {name: `config.Experiment`}. runs: the folder of the runs, each under its name.
        split: on which they will be evaluated.
        suffix: with which these names end; an experiment that starts from a run starts from the one whose name ends so. Its
            teachers are those that it names, but where this call trains one whose name ends so.
    Yields:
        The `Run` of each.
    Raises:
        UserError: before anything is trained, where an experiment needs one that comes after it or a run that is not
            trained, a data set lacks the split, or Java is missing.
    """
    experiments = linked_to_runs(experiments, runs, suffix)
    java_on_path()
    for name, experiment in experiments.items():
        check_needed(experiment, runs / name, [runs / each for each in experiments])
        prepare_built_in(experiment)
        open_prepared(experiment.data.path).shards(split)
    for name, experiment in experiments.items():
        yield train(experiment, runs / name)


def linked_to_runs(experiments, runs, suffix):
    """The experiments, each of which starts from the run of this call that is meant, and has those for teachers."""
    linked = {}

    def link(folder, name, always=False):
        other = Path(folder).name + suffix
        if other in experiments.keys() - linked.keys() - {name}:
            raise UserError(f"{name} needs {other}, which comes after it; name {other} first")
        return str(runs / other) if other in linked or (always and other != name) else folder

    for name, experiment in experiments.items():
        start = experiment.init_from and link(experiment.init_from, name, always=bool(suffix))
        teachers = tuple(link(each, name) for each in experiment.train.teachers)
        train = dataclasses.replace(experiment.train, teachers=teachers)
        linked[name] = dataclasses.replace(experiment, init_from=start, train=train)
    return linked


def measure(run, split):
    """The `Evaluation` of a `Run` or `RunEnsemble`; a run has the fact "epoch_seconds" too, the median training time."""
    from keras_sat.evaluate import evaluate

    evaluation = evaluate(run, split, default_metrics()[0])
    seconds = [line["training_seconds"] for line in run.curve()]
    facts = {"epoch_seconds": statistics.median(seconds)} if seconds else {}
    return dataclasses.replace(evaluation, facts=evaluation.facts | facts)


def compare(experiments, runs, split="test", suffix=""):
    """Trains and evaluates experiments, see `train_all`; yields (`Run`, `Evaluation`) of each."""
    for run in train_all(experiments, runs, split, suffix):
        yield run, measure(run, split)


def add_experiments(parser):
    """Adds the arguments that say which experiments are to be trained, where, and on what evaluated."""
    parser.add_argument(
        "configs", nargs="+", metavar="YAML", help="experiments; a run is called like its file"
    )
    parser.add_argument(
        "--runs", default="runs", metavar="DIR", help="where the runs are (default: runs)"
    )
    parser.add_argument("--split", default="test", help="train, val or test (default)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="for all of them, such as seed=2",
    )
    parser.add_argument(
        "--suffix", default="", metavar="TEXT", help="ends the runs' names, such as _seed2"
    )


def experiments_of(args):
    """{name: `config.Experiment`} of these arguments.

    Raises:
        UserError: as `config.load`; two files of one name; a data set that is missing, and how its file makes it.
    """
    experiments = {}
    for path in args.configs:
        name = Path(path).stem + args.suffix
        if name in experiments:
            raise UserError(
                f"{path}: another experiment is called {name} too; rename one of the files"
            )
        experiments[name] = configuration.load(path, args.set)
        check_prepared(experiments[name], path)
    return experiments


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m keras_sat.compare", description=__doc__.split("\n\n")[1]
    )
    add_experiments(parser)
    parser.add_argument(
        "--output",
        default="comparison",
        metavar="DIR",
        help="for table and plot (default: comparison)",
    )
    args = parser.parse_args(arguments)
    compared = compare(experiments_of(args), Path(args.runs), args.split, args.suffix)
    evaluations = {run.folder.name: evaluation for run, evaluation in compared}

    from keras_sat.evaluation.report import HEADLINE, write_comparison
    from keras_sat.visualize.comparison import save_comparison

    output = Path(args.output)
    text = write_comparison(output, evaluations, HEADLINE, systems_as="rows")
    save_comparison(output / "plot.png", evaluations)
    print(
        f"\n{args.split} split, percent, 95% confidence intervals\n\n{text}\n\n{output}/table.md, table.json, plot.png"
    )


if __name__ == "__main__":
    main()
