"""python -m pipeline.pusher --run runs/scenes_soft --push serving/models/scenes_soft

Pusher: moves the version that the InfraValidator staged into the model's folder, by one rename, if the Evaluator has
blessed the model too. A server of that folder picks it up.
"""

import contextlib

from keras_sat.utils.errors import UserError, command
from pipeline import blessing


def push(run):
    """Pushes the version that the InfraValidator staged; one that is pushed already stays.

    Args:
        run: a `keras_sat.runs.run.Run`, whose experiment says where to push.
    Returns:
        The version's folder.
    Raises:
        UserError: not blessed by both, nothing staged, or another version has taken its number.
    """
    blessing.blessed(run, "evaluator")
    version = str(blessing.blessed(run, "infra_validator")["version"])
    target, staging = blessing.model_folder(run) / version, blessing.staging_folder(run)
    if (staging / version).exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            (staging / version).rename(target)
        except OSError as error:
            raise UserError(
                f"{target}: cannot be pushed ({error.strerror}); run pipeline.infra_validator again"
            ) from error
        with contextlib.suppress(OSError):  # another run's version may be staged there by now
            staging.rmdir()
            staging.parent.rmdir()
    elif not target.exists():
        raise UserError(
            f"{staging / version}: is not there; python -m pipeline.infra_validator --run {run.folder} stages it"
        )
    return target


@command
def main(arguments=None):
    print(push(blessing.run_of(blessing.parser("pusher", __doc__).parse_args(arguments))))


if __name__ == "__main__":
    main()
