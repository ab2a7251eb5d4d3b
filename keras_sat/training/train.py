"""Training an experiment in a run folder, by one process or several."""

import contextlib

import keras

from keras_sat.runs.prerequisites import check_prerequisites
from keras_sat.runs.run import create_run, open_run
from keras_sat.training.trainer import Trainer
from keras_sat.training.workers import Workers
from keras_sat.utils.claim import claimed, reading


def train(experiment, folder, *, profile=None, trust_encoder=False):
    """Trains an experiment, or resumes its training.

    Args:
        experiment: a `keras_sat.config.Experiment`.
        folder: of the run, a Path.
        profile: (first, last) of the updates to profile, see `keras_sat.training.profile.Profile`.
        trust_encoder: whether the encoder may run code of its own.

    Returns:
        The `Run`.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once the checkpoint is written.
        UserError: as `check_prerequisites`, `create_run` and `Trainer.fit`; a worker was lost;
            another process trains the run.
    """
    data = check_prerequisites(experiment, folder)
    workers = Workers()
    with contextlib.ExitStack() as claims, workers.together(folder):
        if workers.chief:
            claims.enter_context(claimed(folder, "training"))
            run = create_run(folder, experiment, data, trust_encoder)
        claims.enter_context(reading(data.folder, f"training of {folder}"))
        workers.wait()
        if not workers.chief:
            run = open_run(folder)
            run = run.trusting() if trust_encoder else run
        keras.mixed_precision.set_global_policy(experiment.train.precision)
        trainer = Trainer(run, data, workers, profile)
        try:
            progress = trainer.fit()
        except KeyboardInterrupt:
            if workers.chief:
                progress = trainer.progress
                where = f"in epoch {progress.epoch + 1} after {progress.batch} batches"
                print(f"\n{folder}: stopped {where}; the same command resumes it")
            raise
    if workers.chief:
        best = f"best was epoch {progress.best_epoch} by {experiment.train.select_by}"
        if not progress.best_epoch:
            best = f"no epoch has a {experiment.train.select_by} to be the best by"
        print(f"{folder}: trained {progress.epoch} epochs; {best}")
    return run
