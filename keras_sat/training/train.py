"""Training an experiment in a run folder, by one process or several."""

import keras

from keras_sat.runs.prerequisites import check_prerequisites
from keras_sat.runs.run import create_run, open_run
from keras_sat.training.trainer import Trainer
from keras_sat.training.workers import Workers


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
        UserError: as `check_prerequisites`, `create_run` and `Trainer.fit`; a worker was lost.
    """
    data = check_prerequisites(experiment, folder)
    workers = Workers()
    with workers.together(folder):
        if workers.chief:
            run = create_run(folder, experiment, data, trust_encoder)
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
        print(f"{folder}: trained {progress.epoch} epochs; {best}")
    return run
