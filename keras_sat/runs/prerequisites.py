"""What must exist before a run is trained.

It imports no TensorFlow, so that commands can check it first.
"""

from pathlib import Path

from keras_sat.data.prepared import open_prepared
from keras_sat.runs.run import open_run
from keras_sat.utils.errors import UserError


def check_prerequisites(experiment, folder):
    """Checks the data set of an experiment, and the runs that it starts from or learns from.

    Args:
        experiment: a `keras_sat.config.Experiment`.
        folder: of the run that is to be trained, a Path.

    Returns:
        The `PreparedData`.

    Raises:
        UserError: the data set or its splits train and val are missing; another run is not
            trained.
    """
    data = open_prepared(experiment.data.path)
    for split in ("train", "val"):
        data.shards(split)
    check_other_runs(experiment, folder)
    return data


def check_other_runs(experiment, folder, coming=()):
    """The part of `check_prerequisites` that concerns other runs.

    A run that is resumed needs none.

    Args:
        experiment: a `keras_sat.config.Experiment`.
        folder: of the run that is to be trained, a Path.
        coming: folders of runs that will be trained before this one.
    """
    if (folder / "checkpoints").exists():
        return
    for other in needed_runs(experiment):
        if other.resolve() == folder.resolve():
            raise UserError(
                f"{other}: is to be trained itself; name another init_from or teacher, "
                "or choose another --run"
            )
        if other not in coming:
            open_run(other).checkpoint()


def needed_runs(experiment):
    """The folders of the runs that an experiment starts from and learns from, Paths."""
    folders = [Path(folder) for folder in experiment.train.teachers]
    if experiment.init_from:
        folders.insert(0, Path(experiment.init_from))
    return folders
