"""Pusher: moves a blessed version into the model's folder."""

import contextlib

from keras_sat.utils.errors import UserError
from pipeline.blessing import verdicts


def push(run):
    """Pushes the version that the InfraValidator staged, unless it is pushed already.

    Args:
        run: a `keras_sat.runs.run.Run`, whose experiment says where to push.

    Returns:
        The version's folder.

    Raises:
        UserError: the run is not blessed by both, nothing is staged, or another version has taken
            its number.
    """
    verdicts.blessed(run, "evaluator")
    version = str(verdicts.blessed(run, "infra_validator")["version"])
    target = verdicts.model_folder(run) / version
    staging = verdicts.staging_folder(run)
    staged = staging / version
    if staged.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.rename(target)
        except OSError as error:
            raise UserError(
                f"{target}: cannot be pushed ({error.strerror}); run pipeline.infra_validator again"
            ) from error
        with contextlib.suppress(OSError):  # another run's version may be staged there by now
            staging.rmdir()
            staging.parent.rmdir()
    elif not target.exists():
        raise UserError(
            f"{staged}: is not there; "
            f"python -m pipeline.infra_validator --run {run.folder} stages it"
        )
    return target
