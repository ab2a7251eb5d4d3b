"""python -m keras_sat.train --model soft

Trains a captioner. Alone, on a fresh checkout, it prepares the built-in data set and trains on it. The same command
again resumes an interrupted run.
"""

import argparse
import dataclasses
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.data.prepared import open_prepared
from keras_sat.utils.errors import UserError, command, nearest


def train(experiment, folder):
    """Trains an experiment in a run folder.

    Returns:
        The `keras_sat.runs.run.Run`.
    """
    data = open_prepared(experiment.data.path)
    for split in ("train", "val"):
        data.shards(split)

    check_needed(experiment, folder)

    import keras

    from keras_sat.runs.run import create_run, open_run
    from keras_sat.training.trainer import Trainer
    from keras_sat.training.workers import Workers

    workers = Workers()
    with workers.together(folder):
        if workers.chief:
            run = create_run(folder, experiment, data)
        workers.wait()
        if not workers.chief:
            run = open_run(folder)
        keras.mixed_precision.set_global_policy(experiment.train.precision)
        trainer = Trainer(run, data, workers)
        try:
            progress = trainer.fit()
        except KeyboardInterrupt:
            progress = trainer.progress
            if workers.chief:
                where = f"in epoch {progress.epoch + 1} after {progress.batch} batches"
                print(f"\n{folder}: stopped {where}; the same command resumes it")
            raise
    if workers.chief:
        best = f"best was epoch {progress.best_epoch} by {experiment.train.select_by}"
        print(f"{folder}: trained {progress.epoch} epochs; {best}")
    return run


def check_needed(experiment, folder, coming=()):
    """Raises: UserError: a run that a new one in this folder starts from or learns from is neither trained nor coming."""
    from keras_sat.runs.run import open_run

    if (folder / "checkpoints").exists():
        return
    for other in map(Path, (*filter(None, [experiment.init_from]), *experiment.train.teachers)):
        if other.resolve() == folder.resolve():
            raise UserError(
                f"{other}: is to be trained itself; name another init_from or teacher, or choose another --run"
            )
        if other not in coming:
            open_run(other).checkpoint()


def prepare_built_in(experiment, path=None):
    """Prepares the built-in data set where the experiment asks for it: missing, it is made; made otherwise, refused.

    It asks for it by its `prepare` section or, without one, by a folder whose name begins with `scenes`; whatever else lies
    in the folder is left as it is.

    Args:
        path: the experiment's file, for the message.
    Raises:
        UserError: the data set is not there and not built in, or was made otherwise.
    """
    check_prepared(experiment, path)
    folder, section = Path(experiment.data.path), experiment.prepare
    if _built_in(experiment):
        from pipeline.preparation.prepare import prepare

        try:
            prepare(section, folder)
        except UserError as error:
            if not folder.exists():
                raise
            reason = str(error).partition("; choose another --output")[0]
            raise UserError(
                f"{reason}; take it as it is with --data {folder}, or another --set data.path=DIR"
            ) from error


def check_prepared(experiment, path=None):
    """Raises: UserError: the data set is not there and not built in; `path`: as for `prepare_built_in`."""
    folder = Path(experiment.data.path)
    if not _built_in(experiment) and not folder.exists():
        what = f"--config {path}" if path else f"--dataset {experiment.prepare.dataset}"
        raise UserError(
            f"{folder}: no such data set; make it: python -m pipeline.prepare {what} --output {folder}"
        )


def _built_in(experiment):
    folder, section = Path(experiment.data.path), experiment.prepare
    return section.dataset == "scenes" and (
        folder.name.startswith("scenes") or section != configuration.Prepare()
    )


def load_experiment(model, path, data, overrides):
    """The experiment that the command's arguments describe.

    Raises:
        UserError: an unknown model, or one that contradicts the configuration.
    """
    if model and model not in configuration.SYSTEMS:
        raise UserError(f"--model {model}: unknown{nearest(model, configuration.SYSTEMS)}")
    experiment = configuration.load(
        path or configuration.default_config(model or "soft"), overrides
    )
    if model and experiment.model.name != model:
        raise UserError(
            f"--model {model}: but {path} describes {experiment.model.name}; leave one of them out"
        )
    if data:
        experiment = dataclasses.replace(
            experiment, data=dataclasses.replace(experiment.data, path=data)
        )
    return experiment


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m keras_sat.train", description=__doc__.split("\n\n")[1]
    )
    parser.add_argument(
        "--model", help=f"the system: {', '.join(configuration.SYSTEMS)} (default: soft)"
    )
    parser.add_argument(
        "--config", metavar="YAML", help="an experiment (default: configs/scenes_MODEL.yaml)"
    )
    parser.add_argument(
        "--data", metavar="DIR", help="a prepared data set, instead of the experiment's"
    )
    parser.add_argument(
        "--run", metavar="DIR", help="the run's folder (default: runs/ and the experiment's name)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="such as train.epochs=10"
    )
    args = parser.parse_args(arguments)
    experiment = load_experiment(args.model, args.config, args.data, args.set)
    if not args.data:
        prepare_built_in(experiment, args.config)
    name = Path(args.config).stem if args.config else f"scenes_{experiment.model.name}"
    train(experiment, Path(args.run or f"runs/{name}"))


if __name__ == "__main__":
    main()
