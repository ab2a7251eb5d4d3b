"""How training is judged after each epoch: by the captions that the model generates."""

import tensorflow as tf

from keras_sat.data import input_pipeline
from keras_sat.data.reading import read_records
from keras_sat.decoding.captioned import caption_split, normalised_references
from keras_sat.decoding.search import caption_function
from keras_sat.encoder.inputs import shown_picture
from keras_sat.evaluation.scorers import score


class Validation:
    """BLEU and CIDEr of greedy captions (METEOR, which starts Java, where it selects), and the negative log likelihood.

    Scores are pycocoevalcap's on our own tokens; `keras_sat.evaluate` gives the published, PTB-tokenised ones.

    Args:
        model: a `Captioner` prepared for training. data: a `PreparedData` with a `val` split. vocabulary: its vocabulary.
        experiment: a `config.Experiment`. strategy: the tf.distribute strategy under which the model was made.
    """

    def __init__(self, model, data, vocabulary, experiment, strategy):
        self._model, self._data, self._vocabulary, self._experiment = (
            model,
            data,
            vocabulary,
            experiment,
        )
        self._strategy = strategy
        self._limit = experiment.train.validation_images
        records = list(read_records(data, "val", self._limit))
        self._references = normalised_references(records)
        encoder = data.manifest["encoder"]
        shown = records[: experiment.train.pictures]
        self.pictures = [
            (each, shown_picture(each.encoded, encoder) if each.encoded else None) for each in shown
        ]
        self._metrics = ["bleu", "cider"] + ["meteor"] * (experiment.train.select_by == "meteor")
        self._generate = caption_function(model, experiment.decoding.greedy())
        signature = [self._batches().element_spec]
        step = lambda batch: strategy.run(model.test_step, (batch,))  # noqa: E731
        self._test_step = tf.function(step, input_signature=signature, autograph=False)

    def __call__(self):
        """Returns ({"bleu4": float, …, "loss": float}, the `Captioned` of every image)."""
        captioned = caption_split(
            self._generate, self._model, self._data, "val", self._vocabulary, self._limit
        )
        captions = {each.source_id: each.caption for each in captioned}
        scores = score(captions, self._references, self._metrics, tokenise=False)
        return {name: each.value for name, each in scores.items()} | self._likelihood(), captioned

    def _batches(self):
        config = self._experiment.data
        replicas = self._strategy.num_replicas_in_sync
        inputs = tuple(self._model.input_shapes)
        batches = input_pipeline.training_batches(
            self._data, config, self._vocabulary, 0, 0, "val", replicas, inputs
        )
        return self._strategy.experimental_distribute_dataset(batches)

    def _likelihood(self):
        """The mean loss a caption and a word over the whole split."""
        self._model.reset_metrics()
        for batch in self._batches():
            self._test_step(batch)
        results = {metric.name: float(metric.result()) for metric in self._model.metrics}
        self._model.reset_metrics()
        return {name: results[name] for name in ("loss", "word_loss")}
