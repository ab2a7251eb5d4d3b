"""`keras_sat.load`: a captioner of pictures from whatever holds one."""

import os

import keras

from keras_sat.api.exported import ExportedCaptioner, exported_version
from keras_sat.api.trained import TrainedCaptioner, run_of_model
from keras_sat.runs.ensemble import open_runs


def load(source, data=None, **decoding):
    """Loads a captioner of pictures.

    Args:
        source: a run's folder; a packed run; a list of these, which caption together as an
            ensemble; the folder of an exported model, or of one of its versions; or a
            `keras_sat.models.Captioner`.
        data: for a model, the prepared data set that it was trained on.
        decoding: settings of `keras_sat.config.Decoding`, such as `beam=5`, in place of the run's.

    Returns:
        A `keras_sat.api.captioner.PictureCaptioner`.

    Raises:
        UserError: nothing of that kind is there, or its parts do not fit together.

    Example:
        captioner = keras_sat.load("runs/scenes_soft", beam=5)
        answer = captioner("boat.jpg")
    """
    if isinstance(source, keras.Model):
        captioner = TrainedCaptioner(run_of_model(source, data), source)
    elif isinstance(source, str | os.PathLike):
        version = exported_version(source)
        captioner = ExportedCaptioner(version) if version else TrainedCaptioner(open_runs([source]))
    else:
        captioner = TrainedCaptioner(open_runs(source))
    return captioner.with_decoding(**decoding) if decoding else captioner
