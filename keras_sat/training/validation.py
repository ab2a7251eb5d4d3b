"""How training is judged after each epoch: by the captions that the model generates."""

import tensorflow as tf

from keras_sat.data import input_pipeline
from keras_sat.data.reading import read_records
from keras_sat.decoding.captioned import caption_split, normalised_references
from keras_sat.decoding.search import caption_function
from keras_sat.encoder.inputs import shown_picture
from keras_sat.evaluation.scorers import score
from keras_sat.training.divergence import without_likelihood
from keras_sat.utils.errors import UserError


class Validation:
    """BLEU and CIDEr of greedy captions, and the negative log-likelihood.

    METEOR is computed only where `train.select_by` asks for it, since it starts Java. Scores are
    pycocoevalcap's on the captioner's own tokens; `keras-sat evaluate` gives the published,
    PTB-tokenised ones.

    Attributes:
        pictures: [(`Record`, the picture to draw on or None)] of the images that TensorBoard shows.

    Args:
        model: a compiled `Captioner`.
        data: a `PreparedData` with a `val` split.
        vocabulary: its vocabulary.
        experiment: a `keras_sat.config.Experiment`.
        strategy: the tf.distribute strategy under which the model was made.

    Raises:
        UserError: there is only one validation image.
    """

    def __init__(self, model, data, vocabulary, experiment, strategy):
        self._model = model
        self._data = data
        self._vocabulary = vocabulary
        self._experiment = experiment
        self._strategy = strategy
        self._limit = experiment.train.validation_images
        records = list(read_records(data, "val", self._limit))
        if len(records) == 1:
            raise UserError(
                f"{data.folder}: CIDEr cannot be measured on one validation image; prepare more, "
                "or set train.validation_images to 0"
            )
        self._references = normalised_references(records)
        self.pictures = []  # (Record, the picture to draw on or None) of the images that are shown
        for record in records[: experiment.train.pictures]:
            picture = None
            if record.encoded:
                picture = shown_picture(record.encoded, data.manifest["encoder"])
            self.pictures.append((record, picture))
        self._metrics = ["bleu", "cider"]
        if experiment.train.select_by == "meteor":
            self._metrics.append("meteor")
        self._generate = caption_function(model, experiment.decoding.greedy())

        def step(batch):
            return strategy.run(model.test_step, (batch,))

        signature = [self._batches().element_spec]
        self._test_step = tf.function(step, input_signature=signature, autograph=False)

    def __call__(self):
        """Captions and scores the validation split.

        Returns:
            ({"bleu4": float, …, "loss": float}, the `Captioned` of every image).
        """
        captioned = caption_split(
            self._generate, self._model, self._data, "val", self._vocabulary, self._limit
        )
        captions = {each.source_id: each.caption for each in captioned}
        scores = score(captions, self._references, self._metrics, tokenise=False)
        values = {name: each.value for name, each in scores.items()}
        return values | self._likelihood(), captioned

    def without_likelihood(self):
        """The source ids of the images whose captions have no finite likelihood."""
        return without_likelihood(self._model, self._read(named=True))

    def _read(self, shares=1, named=False):
        return input_pipeline.training_batches(
            self._data,
            self._experiment.data,
            self._vocabulary,
            seed=0,
            epoch=0,
            split="val",
            shares=shares,
            inputs=tuple(self._model.input_shapes),
            named=named,
        )

    def _batches(self):
        batches = self._read(self._strategy.num_replicas_in_sync)
        return self._strategy.experimental_distribute_dataset(batches)

    def _likelihood(self):
        """The mean loss per caption and per word over the whole split."""
        self._model.reset_metrics()
        for batch in self._batches():
            self._test_step(batch)
        results = {metric.name: float(metric.result()) for metric in self._model.metrics}
        self._model.reset_metrics()
        return {name: results[name] for name in ("loss", "word_loss")}
