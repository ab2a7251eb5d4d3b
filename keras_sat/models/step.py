"""One training step of a captioner, and the default objective: the likelihood of given captions.

An objective gives the count of captions that its loss is averaged over, and a replica's share of
every term of the loss. Objectives that need decoding or trained runs are in
`keras_sat.training.objectives`.
"""

import keras
import tensorflow as tf

from keras_sat.layers.noise import Noise
from keras_sat.models.losses import attention_entropy, cross_entropy
from keras_sat.text.ids import caption_mask

METERS = ("loss", "word_loss", "accuracy", "filled", "attention_entropy")


@keras.saving.register_keras_serializable(package="keras_sat")
class Likelihood:
    """The likelihood of the captions of a batch, and the other terms of `Captioner.loss_terms`."""

    given = True  # the captions that are scored are those of the batch
    # What the objective reads of a record beside the model's inputs; known after `prepare`.
    inputs = ()
    shown = "word_loss"  # the metric that a progress bar shows

    def get_config(self):
        """The constructor's arguments, for a model's file."""
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def prepare(self, data, vocabulary):
        """Reads what the objective needs of a `PreparedData`."""

    def summary(self, results):
        """An epoch's {metric: value} in a few words."""
        return (
            f"loss {results['loss']:.3f}, per word {results['word_loss']:.3f} "
            f"(validation {results['val_word_loss']:.3f})"
        )

    def count(self, inputs):
        """The number of captions that this replica holds, float32 [].

        A caption of padding alone does not count.
        """
        return tf.reduce_sum(tf.reduce_max(caption_mask(inputs["captions"]), axis=-1))

    def loss_terms(self, model, inputs, captions_in_batch, noise):
        """This replica's share of the loss.

        Args:
            model: a `Captioner`.
            inputs: a batch, see `Captioner`.
            captions_in_batch: float32 [], the count of captions in the global batch.
            noise: a `keras_sat.layers.noise.Noise`.

        Returns:
            ({name: scalar} of all terms, the captions [B, N, T] that were scored,
            (log_probs, attention)).
        """
        terms, outputs = model.loss_terms(inputs, captions_in_batch, noise)
        return terms, inputs["captions"], outputs


class TrainStep:
    """The update of a captioner: gradients, accumulation, loss scaling and meters.

    It is correct under `tf.distribute`: losses are divided by the count of captions in the global
    batch, and the meters add up over the replicas. It is not part of the model, so that a
    checkpoint of the model holds the model alone.

    Args:
        model: a `Captioner`.
        optimizer: a Keras optimizer, or a `LossScaleOptimizer` around one.
        objective: see the top of this file (default: `Likelihood`).
        seed: int, of all noise.
        accumulate: number of parts in which a batch is processed before its one update.
        weight_decay: λ of ½ λ |θ|² in the loss.

    Attributes:
        diverged: int64, the number of updates since the loss or the weights were first not finite,
            that update included; 0 while they are.
    """

    def __init__(self, model, optimizer, objective=None, seed=0, accumulate=1, weight_decay=0.0):
        self._model = model
        self.optimizer = optimizer
        self.objective = objective or Likelihood()
        self._seed = seed
        self._accumulate = accumulate
        self._weight_decay = weight_decay
        names = [*METERS, *model.extra_meters] if self.objective.given else METERS
        self.meters = {name: _Meter(name) for name in names}
        self.diverged = tf.Variable(
            tf.zeros([], tf.int64),
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def update(self, inputs):
        """One update by a batch.

        Args:
            inputs: a batch, see `Captioner`.

        Returns:
            {metric: value so far in the epoch}.
        """
        model = self._model
        count = global_sum(self.objective.count(inputs))
        if self._accumulate == 1:
            gradients, observed = self._gradients(inputs, count)
        else:
            gradients, observed = self._accumulated(inputs, count)
        if self._scales_loss:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        # The optimizer sums the gradients over the replicas, then clips.
        self.optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        if self.objective.given:
            model.after_update(observed, count)
        self._watch()
        return self._results()

    def evaluate(self, inputs):
        """Measures a batch by its likelihood, without noise.

        Args:
            inputs: a batch, see `Captioner`.

        Returns:
            {metric: value so far}.
        """
        count = global_sum(Likelihood().count(inputs))
        terms, outputs = self._model.loss_terms(inputs, count)
        self._measure(inputs["captions"], terms, outputs, count, _replicas())
        return self._results()

    def _watch(self):
        """Updates `diverged`, in the graph: the device is not waited for.

        The weights after the update are looked at, since a finite loss may have an infinite update.
        One infinite weight makes their norm infinite.
        """
        squares = tf.add_n([tf.nn.l2_loss(each) for each in self._model.trainable_variables])
        sound = tf.math.is_finite(squares) & tf.math.is_finite(self.meters["loss"].total)
        self.diverged.assign(
            tf.where(sound & (self.diverged == 0), tf.zeros_like(self.diverged), self.diverged + 1)
        )

    def _results(self):
        return {name: meter.result() for name, meter in self.meters.items()}

    def _accumulated(self, inputs, count):
        """The sums of `_gradients` over the parts of a batch."""
        parts = self._accumulate
        rows = tf.shape(inputs["row"])[0] // parts

        def add(part, sums):
            chosen = {
                name: tensor[part * rows : (part + 1) * rows] for name, tensor in inputs.items()
            }
            sums = tf.nest.map_structure(tf.add, sums, self._gradients(chosen, count))
            return part + 1, sums

        zeros = [tf.zeros_like(variable) for variable in self._model.trainable_variables]
        _, sums = tf.while_loop(
            lambda part, _: part < parts,
            add,
            (0, (zeros, tf.zeros([]))),
            parallel_iterations=1,
            maximum_iterations=parts,
        )
        return sums

    def _gradients(self, inputs, count):
        """The update's gradients from a part of the batch.

        Returns:
            (dense gradients, what `Captioner.observe` returns for the part).
        """
        model = self._model
        noise = Noise(self._seed, self.optimizer.iterations, inputs["row"])
        with tf.GradientTape() as tape:
            terms, captions, outputs = self.objective.loss_terms(model, inputs, count, noise)
            loss = tf.add_n(list(terms.values())) + self._decay()
            scaled = self.optimizer.get_scaled_loss(loss) if self._scales_loss else loss
        # Some ablations leave a weight without effect: p(w|h) alone does not depend on θ_rh.
        gradients = tape.gradient(scaled, model.trainable_variables, unconnected_gradients="zero")
        self._measure(captions, terms, outputs, count, self._shares)
        # Dense, since Keras would clip the embedding's rows before it adds up the repeated ones.
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        return gradients, model.observe(captions, outputs)

    def _decay(self):
        """This share of ½ λ |θ|²."""
        if not self._weight_decay:
            return 0.0
        squares = tf.add_n([tf.nn.l2_loss(each) for each in self._model.trainable_variables])
        return self._weight_decay * squares / self._shares

    @property
    def _shares(self):
        """The number of shares that a batch is divided into: parts times replicas."""
        return _replicas() * self._accumulate

    @property
    def _scales_loss(self):
        return isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer)

    def _measure(self, captions, terms, outputs, captions_in_batch, shares):
        """Updates the meters by one of the batch's shares.

        The values of the replicas are added up when a meter is read.
        """
        log_probs, attention = outputs
        mask = caption_mask(captions)
        words = tf.reduce_sum(mask)
        right = tf.cast(tf.argmax(log_probs, -1, captions.dtype) == captions, tf.float32) * mask
        for name, term in {"loss": tf.add_n(list(terms.values())), **terms}.items():
            if name in self.meters:
                # A term is a share of the global mean. The shares add up to that mean, and their
                # weights to the count of captions.
                self.meters[name].update_state(term * shares, captions_in_batch / shares)
        per_word = {
            "word_loss": cross_entropy(log_probs, captions),
            "accuracy": tf.reduce_sum(right),
            "attention_entropy": tf.reduce_sum(attention_entropy(attention, captions)),
        }
        for name, total in per_word.items():
            self.meters[name].update_state(total / tf.maximum(words, 1), words)
        size = tf.size(captions)
        self.meters["filled"].update_state(words / tf.cast(size, tf.float32), size)


class _Meter(keras.metrics.Mean):
    """A mean that a model's .keras file leaves out: `fit` starts its epochs at zero.

    (On several devices Keras could not read it back. Checkpoints hold it.)
    """

    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass


def _replicas():
    return tf.distribute.get_replica_context().num_replicas_in_sync


def global_sum(value):
    """The sum over all replicas, the same on each of them."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)
