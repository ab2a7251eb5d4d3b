"""Keras' own way of using a captioner: compile, fit, evaluate, predict, summary, save, load."""

import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from keras_sat.data.epochs import reading_batches
from keras_sat.models.fitting import EpochCounter, checked_callbacks, fitting, numbered
from keras_sat.models.losses import word_log_probs
from keras_sat.models.saving import (
    from_compile_config,
    from_config,
    to_compile_config,
    to_config,
)
from keras_sat.models.step import TrainStep
from keras_sat.models.summary import write_summary
from keras_sat.utils.errors import UserError


class KerasModel(keras.Model):
    """The part of a `Captioner` that Keras calls, and its users through Keras.

    `fit` and the project's trainer take the same step, `keras_sat.models.step.TrainStep`.
    """

    label_smoothing = 0.0
    training_step = None  # a `TrainStep`, once compiled
    _lacks = None  # what the model was compiled with and a file could not hold

    # A checkpoint of the model must hold the model alone, without the training step.
    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def compile(
        self,
        optimizer="adam",
        objective=None,
        *,
        seed=0,
        accumulate=1,
        label_smoothing=0.0,
        weight_decay=0.0,
        run_eagerly=None,
        steps_per_execution=None,
    ):
        """Builds the training step. It must be called before `fit` and `train_step`.

        Args:
            optimizer: a Keras optimizer, or the name of one.
            objective: see `keras_sat.models.step` (default: the likelihood). Those of
                `keras_sat.training.objectives` need their `prepare` first.
            seed: int, of all noise.
            accumulate: number of parts in which a batch is processed before its one update.
            label_smoothing: ε, see `keras_sat.models.losses.cross_entropy`.
            weight_decay: λ of ½ λ |θ|² in the loss.
            run_eagerly: see `keras.Model.compile`.
            steps_per_execution: see `keras.Model.compile`.
        """
        super().compile(optimizer, run_eagerly=run_eagerly, steps_per_execution=steps_per_execution)
        self.label_smoothing = label_smoothing
        with self.distribute_strategy.scope():
            self.training_step = TrainStep(
                self, self.optimizer, objective, seed, accumulate, weight_decay
            )
        self._compiled_with = {
            "seed": seed,
            "accumulate": accumulate,
            "label_smoothing": label_smoothing,
            "weight_decay": weight_decay,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
        }

    @property
    def metrics(self):
        return list(self.training_step.meters.values()) if self.training_step else []

    # AutoGraph would convert all layers, which are written for graphs already.
    @tf.autograph.experimental.do_not_convert
    def train_step(self, data):
        return self.training_step.update(_with_rows(_batch_of(data)))

    @tf.autograph.experimental.do_not_convert
    def test_step(self, data):
        return self.training_step.evaluate(_batch_of(data))

    @tf.autograph.experimental.do_not_convert
    def predict_step(self, data):
        """log p of each word of the captions, see `predict`."""
        inputs = _batch_of(data)
        log_probs, _ = self(inputs)
        chosen = word_log_probs(log_probs, inputs["captions"])  # [B, N, T]
        padding = tf.maximum(self.max_length - tf.shape(chosen)[2], 0)
        return tf.pad(chosen, [[0, 0], [0, 0], [0, padding]])

    def fit(self, x=None, *, validation_data=None, callbacks=None, initial_epoch=0, **kwargs):
        """As `keras.Model.fit`, on batches of captioned images.

        Args:
            x: a tf.data.Dataset, such as `keras_sat.data.batches` makes. Batches without "row" get
                one.
            validation_data: another one.
            callbacks: as for Keras; BackupAndRestore by epochs only.
            initial_epoch: the number of epochs that are done.
            **kwargs: the other arguments of Keras, such as `epochs`.

        Returns:
            The `keras.callbacks.History`.

        Raises:
            UserError: the model is not compiled; batches without an input that the model reads; a
                callback that would not do what it says; a corrupt record of `batches`.
        """
        self._check("fit")
        steps = kwargs.get("steps_per_epoch")
        callbacks = checked_callbacks(callbacks, self.optimizer, steps)
        parts = self._compiled_with["accumulate"]
        x = self._numbered(x, parts, self.training_step.objective.inputs)
        if validation_data is not None:
            validation_data = self._numbered(validation_data)
        with fitting(self), reading_batches(x, validation_data):
            return super().fit(
                x,
                validation_data=validation_data,
                callbacks=[*callbacks, EpochCounter(initial_epoch)],
                initial_epoch=initial_epoch,
                **kwargs,
            )

    def evaluate(self, x=None, **kwargs):
        """As `keras.Model.evaluate`: the metrics of the likelihood, without noise.

        Args:
            x: a tf.data.Dataset, such as `keras_sat.data.batches` makes.
            **kwargs: the other arguments of Keras, such as `return_dict`.

        Raises:
            UserError: the model is not compiled; the batches lack an input; a corrupt record of
                `batches`.
        """
        self._check("evaluate")
        with reading_batches(x):
            return super().evaluate(self._numbered(x), **kwargs)

    def predict(self, x, **kwargs):
        """The log-probability of each word of given captions, teacher forced.

        Captions are generated by `keras_sat.decoding`, not here.

        Args:
            x: a tf.data.Dataset, such as `keras_sat.data.batches` makes; or one batch.
            **kwargs: the other arguments of Keras, such as `verbose`.

        Returns:
            float32 [images, N, max_length], zero at padding. It is longer than the model's
            `max_length` only where a caption is.

        Raises:
            UserError: a corrupt record of `batches`.
        """
        with reading_batches(x):
            predicted = super().predict(x, **kwargs)
        # Batches may differ in N.
        return (
            predicted.to_tensor().numpy() if isinstance(predicted, tf.RaggedTensor) else predicted
        )

    def _numbered(self, batches, parts=1, more=()):
        names = (*self.input_shapes, *more, "captions")
        return numbered(batches, names, parts * self.distribute_strategy.num_replicas_in_sync)

    def _check(self, method):
        if self.training_step is None:
            reason = f"; its file could not hold its {self._lacks}" if self._lacks else ""
            raise UserError(
                f"{method}: the model is not compiled{reason}; "
                "call model.compile(optimizer, objective=…) first"
            )
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            raise UserError(
                f"{method}: Keras would divide the batches among workers by files; "
                "train on several machines by `keras-sat train`"
            )

    def summary(self, line_length=None, print_fn=None, **kwargs):
        """Prints the layers with the shapes of their outputs and their numbers of weights.

        B is the number of images, N of captions per image, T of words, L of regions.

        Args:
            line_length: the number of characters per line.
            print_fn: what takes each line (default: `print`).
            **kwargs: Keras' other arguments, which change nothing here.
        """
        write_summary(self, line_length or 98, print_fn or print)

    # Saving

    def save(self, filepath, overwrite=True, save_format=None, **kwargs):
        """Saves the model as a .keras file, which `keras.models.load_model` reads.

        The file appears whole or not at all. For TensorFlow Serving there is `keras-sat export`.

        Args:
            filepath: the file's path, which ends in .keras.
            overwrite: see `keras.Model.save`.
            save_format: None or "keras".
            **kwargs: see `keras.Model.save`.

        Raises:
            UserError: another format.
        """
        if Path(filepath).suffix != ".keras" or save_format not in (None, "keras"):
            raise UserError(
                f"{filepath}: a captioner is saved as a file whose name ends in .keras; "
                "`keras-sat export` makes a SavedModel for TensorFlow Serving"
            )
        if not overwrite and Path(filepath).exists():
            raise UserError(f"{filepath}: exists; choose another name, or overwrite=True")
        parent = Path(filepath).parent
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".saving-") as folder:
            written = Path(folder) / "model.keras"
            super().save(written, **kwargs)
            written.replace(filepath)

    def get_config(self):
        return to_config(self)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return from_config(cls, config)

    def get_build_config(self):
        return {"built": True} if self.built else None

    def build_from_config(self, config):
        self.make_weights()

    def make_weights(self):
        """Creates all weights, by a call on zeros."""
        inputs = {"captions": tf.zeros([1, 1, 2], tf.int32)}
        for name, spec in self.input_specs().items():
            inputs[name] = tf.zeros([1, *spec.shape[1:]], spec.dtype)
        self(inputs)

    def get_compile_config(self):
        if self.training_step is None:
            return None
        return to_compile_config(self.optimizer, self.training_step.objective, self._compiled_with)

    def compile_from_config(self, config):
        if "lacks" in config:
            self._lacks = config["lacks"]
            return
        self.compile(**from_compile_config(config))
        with self.distribute_strategy.scope():
            self.optimizer.build(self.trainable_variables)


def _batch_of(data):
    """The batch in what Keras gives a step: itself, or a tuple of it alone."""
    return data[0] if isinstance(data, tuple) else data


def _with_rows(batch):
    """The batch with its rows numbered, where `fit` has not done that before distribution."""
    if "row" in batch:
        return batch
    if tf.distribute.get_replica_context().num_replicas_in_sync > 1:
        raise UserError("the batch has no `row`; `fit` numbers the rows of a tf.data.Dataset")
    return batch | {"row": tf.range(tf.shape(batch["captions"])[0])}
