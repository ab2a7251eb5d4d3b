"""Captioners of pictures from trained runs and from models in memory."""

import dataclasses

from keras_sat import config as configuration
from keras_sat.api.answer import Answer
from keras_sat.api.captioner import PictureCaptioner
from keras_sat.data.prepared import PreparedData, open_prepared
from keras_sat.evaluation.evaluate import evaluate_model
from keras_sat.evaluation.java import java_on_path
from keras_sat.evaluation.scorers import check_metrics, default_metrics
from keras_sat.runs.captioning import PictureCaptioning
from keras_sat.runs.loading import load_model
from keras_sat.runs.run import Facts, Run
from keras_sat.utils.errors import UserError


class TrainedCaptioner(PictureCaptioner):
    """A captioner of pictures that computes in this process.

    Args:
        run: a `Run` or `RunEnsemble`.
        model: of the run (default: that of its best checkpoint).

    Raises:
        UserError: as `keras_sat.runs.loading.load_model`.
    """

    def __init__(self, run, model=None):
        self.run = run
        self.model = model or load_model(run)
        self._captioning = PictureCaptioning(run, self.model, run.experiment.decoding.beam)
        self._others = {}  # with other decoding settings

    def stream(self, pictures):
        for outcome in self._captioning.caption(pictures, explain=True):
            yield outcome if isinstance(outcome, UserError) else _answer(outcome)

    def with_decoding(self, **decoding):
        overrides = [(f"decoding.{name}", value) for name, value in decoding.items()]
        experiment = configuration.with_decoding(self.run.experiment, overrides)
        settings = experiment.decoding
        if settings == self.run.experiment.decoding:
            return self
        if settings not in self._others:
            run = dataclasses.replace(self.run, experiment=experiment)
            self._others[settings] = TrainedCaptioner(run, self.model)
        return self._others[settings]

    def evaluate(self, data=None, split="test", metrics=None, limit=0):
        metrics = check_metrics(metrics) if metrics else default_metrics()[0]
        java_on_path()
        data = self.run.data(data.folder if isinstance(data, PreparedData) else data)
        data.shards(split)
        captioner = self._captioning.captioner
        _, evaluation = evaluate_model(captioner, self.run, data, split, metrics, limit)
        return evaluation

    def _score(self, picture, caption):
        return self._captioning.score(picture, caption)


def _answer(file):
    """The `Answer` of a `CaptionedFile`."""
    captioned = file.captioned
    return Answer(
        str(file.path),
        captioned.captions,
        captioned.scores,
        captioned.attention,
        captioned.boxes,
        file.picture,
        file.facts,
    )


def run_of_model(model, data):
    """A `Run` around a model in memory, whose vocabulary and CNN are those of its data set.

    Args:
        model: a `keras_sat.models.Captioner`.
        data: the folder of the prepared data set that it was trained on, or its `PreparedData`.

    Raises:
        UserError: no data set; one with another vocabulary or other inputs than the model's.
    """
    if data is None:
        raise UserError("load: a model also needs data=, the data set that it was trained on")
    if not isinstance(data, PreparedData):
        data = open_prepared(data)
    experiment = configuration.Experiment(
        data=configuration.Data(path=str(data.folder)),
        model=model.config,
        finetune=model.finetune or configuration.FineTuning(),
    )
    facts = Facts.of(data, experiment)
    shapes = {name: tuple(shape) for name, shape in facts.inputs.items()}
    if facts.vocabulary_size != model.vocabulary_size or shapes != model.input_shapes:
        raise UserError(f"{data.folder}: not the data set that the model was made for")
    return Run(data.folder, experiment, facts)
