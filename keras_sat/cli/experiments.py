"""Experiments by name: prepared, trained one after the other, and measured."""

import dataclasses
import statistics
from pathlib import Path

from keras_sat.cli.arguments import check_data, wants_built_in
from keras_sat.data.prepared import open_prepared
from keras_sat.evaluation import records
from keras_sat.evaluation.evaluate import evaluate
from keras_sat.evaluation.java import java_on_path
from keras_sat.evaluation.scorers import default_metrics
from keras_sat.runs.ensemble import open_runs
from keras_sat.runs.prerequisites import check_other_runs, needed_runs
from keras_sat.training.train import train
from keras_sat.utils.claim import claimed
from keras_sat.utils.errors import UserError
from keras_sat.visualize.curves import save_curves
from pipeline.preparation.prepare import prepare


def prepare_built_in(experiment, path=None):
    """Prepares the built-in data set where the experiment asks for it and it is missing.

    Args:
        experiment: a `keras_sat.config.Experiment`.
        path: its file, for the message.

    Raises:
        UserError: the data set is not there and not built in, or was made with other settings.
    """
    check_data(experiment, path)
    if not wants_built_in(experiment):
        return
    folder = Path(experiment.data.path)
    try:
        prepare(experiment.prepare, folder)
    except UserError as error:
        if not folder.exists():
            raise
        reason = str(error).partition("; choose another --output")[0]
        raise UserError(
            f"{reason}; take it as it is with --data {folder}, or another --set data.path=DIR"
        ) from error


def train_all(experiments, runs, split="test", suffix=""):
    """Trains experiments one after the other.

    Args:
        experiments: {name: `keras_sat.config.Experiment`}.
        runs: the folder of the runs, each under its name.
        split: on which they will be evaluated.
        suffix: with which these names end, see `linked_to_runs`.

    Yields:
        The `Run` of each.

    Raises:
        UserError: before anything is trained, where an experiment needs one that comes after it or
            a run that is not trained, a data set lacks the split, or Java is missing.
    """
    experiments = linked_to_runs(experiments, runs, suffix)
    java_on_path()
    coming = [runs / name for name in experiments]
    for name, experiment in experiments.items():
        check_other_runs(experiment, runs / name, coming)
        prepare_built_in(experiment)
        open_prepared(experiment.data.path).shards(split)
    for name, experiment in experiments.items():
        yield train(experiment, runs / name)


def linked_to_runs(experiments, runs, suffix=""):
    """The experiments with the folders of the runs that they start from and learn from.

    An experiment that starts from a run starts from the one in `runs` whose name ends with the
    suffix. Its teachers are those that it names, except where these experiments include one of that
    name with the suffix.

    Args:
        experiments: {name: `keras_sat.config.Experiment`}.
        runs: the folder of the runs.
        suffix: with which these names end.

    Returns:
        {name: `keras_sat.config.Experiment`}.

    Raises:
        UserError: an experiment needs one that comes after it.
    """
    names = list(experiments)
    for place, name in enumerate(names):
        for folder in needed_runs(experiments[name]):
            other = folder.name + suffix
            if other in names[place + 1 :]:
                raise UserError(f"{name} needs {other}, which comes after it; name {other} first")
    linked = {}
    for name, experiment in experiments.items():
        start = experiment.init_from
        if start:
            other = Path(start).name + suffix
            if other in linked or (suffix and other != name):
                start = str(runs / other)
        teachers = []
        for folder in experiment.train.teachers:
            other = Path(folder).name + suffix
            teachers.append(str(runs / other) if other in linked else folder)
        section = dataclasses.replace(experiment.train, teachers=tuple(teachers))
        linked[name] = dataclasses.replace(experiment, init_from=start, train=section)
    return linked


def measure(run, split):
    """The `Evaluation` of a `Run` or `RunEnsemble`.

    For a run its facts include "epoch_seconds", the median training time per epoch.
    """
    evaluation = evaluate(run, split, default_metrics()[0]).evaluation
    seconds = [line["training_seconds"] for line in run.curve()]
    if not seconds:
        return evaluation
    facts = evaluation.facts | {"epoch_seconds": statistics.median(seconds)}
    return dataclasses.replace(evaluation, facts=facts)


def compare(experiments, runs, split="test", suffix=""):
    """Trains and evaluates experiments.

    The arguments are those of `train_all`.

    Yields:
        (`Run`, `Evaluation`) of each.
    """
    for run in train_all(experiments, runs, split, suffix):
        yield run, measure(run, split)


def reproduce(experiments, runs, results, split="test", suffix="", ensemble=False):
    """Trains and evaluates experiments and records them in the folder `results`.

    Args:
        experiments: see `train_all`.
        runs: see `train_all`.
        results: the folder of the records.
        split: on which they are evaluated.
        suffix: see `train_all`.
        ensemble: whether to record also all of them as one captioner.

    Returns:
        The table of everything recorded of this split, Markdown.

    Raises:
        UserError: as `train_all`; another process records in the folder.
    """
    with claimed(results, "reproduction"):
        return _reproduce(experiments, runs, results, split, suffix, ensemble)


def _reproduce(experiments, runs, results, split, suffix, ensemble):
    records.read(results, split)  # a record that cannot be read is better found now

    def record(run):
        if not records.recorded(results, split, run):
            records.write(results, split, run, measure(run, split))
        return run.folder

    trained = [record(run) for run in train_all(experiments, runs, split, suffix)]
    if ensemble:
        record(open_runs(trained))
    recorded = records.read(results, split)
    save_curves(results / f"curves_{split}.png", recorded, list(experiments))
    return records.write_table(results, split, recorded)
