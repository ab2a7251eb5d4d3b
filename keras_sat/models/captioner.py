"""The captioner's contract: what decoding, evaluation, pictures, ensembles and export may use of any system."""

import abc
from types import SimpleNamespace

import keras
import tensorflow as tf

from keras_sat import layers
from keras_sat.layers.noise import SILENCE, Noise
from keras_sat.models.losses import attention_entropy, cross_entropy
from keras_sat.text.ids import caption_mask
from keras_sat.training.objectives import Likelihood


class Captioner(keras.Model, abc.ABC):
    """A model that writes captions word by word. N hypotheses share one image's annotations.

    Four methods are the contract (B images, N hypotheses, T steps, L regions, V words):

        annotations = model.encode(inputs)                 once an image: {"regions": [B, L, D], "summary": [B, S],
                                                           "boxes": [B, L, 4] (y, x, y, x in 0–1), …}
        state = model.initial_state(annotations, n)        nested tensors [B, N, ·]
        log_probs, attention, state = model.step(tokens, state, annotations)      tokens [B, N] → [B, N, V], [B, N, L]
        log_probs, attention = model(inputs)               teacher forced: captions [B, N, T] → [B, N, T, V], [B, N, T, L]

    `model(inputs)` gives the same numbers as T calls of `step`; `unroll` is the same on images that are encoded already.
    The first token is START.

    Inputs: {"features": float32 [B, h, w, D]}, or {"pixels": uint8 [B, S, S, 3]} where the CNN stands in the graph, and
    what else `input_shapes` names; to train, "captions" int32 [B, N, T] (ending with END, padded with PAD) and "row" int32
    [B], the image's row in the global batch.

    Args:
        config: the system's section of the experiment.
        vocabulary_size: V.
        input_shapes: {name: shape of one image's}, such as {"features": (h, w, D)}.
        cnn: the CNN that is trained along, from pixels to the feature map, or None: features are read.
        finetune: a `config.FineTuning`, of the CNN.
    """

    def __init__(self, config, vocabulary_size, input_shapes, cnn=None, finetune=None, **kwargs):
        super().__init__(autocast=False, **kwargs)  # the layers cast what they compute with
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.input_shapes = {name: tuple(shape) for name, shape in input_shapes.items()}
        self.cnn, self.finetune = cnn, finetune
        self.annotate = config.annotation_size and keras.layers.Dense(
            config.annotation_size, "relu", name="annotate"
        )
        self.region_size = (
            config.annotation_size
            or (cnn.output_shape if cnn else self.input_shapes["features"])[-1]
        )
        self.areas = layers.Grid()
        self.training = None

    def inputs_of(self, batch):
        """What the model reads of a batch."""
        return {name: batch[name] for name in self.input_shapes}

    def input_specs(self):
        """{name: tf.TensorSpec} of `inputs_of` for any number of images."""
        types = {"pixels": tf.uint8}
        return {
            n: tf.TensorSpec([None, *shape], types.get(n, tf.float32))
            for n, shape in self.input_shapes.items()
        }

    @abc.abstractmethod
    def initial_state(self, annotations, n): ...

    @abc.abstractmethod
    def step(self, tokens, state, annotations): ...

    @abc.abstractmethod
    def unroll(self, annotations, captions, noise=SILENCE):
        """Teacher forced: captions [B, N, T] → log_probs [B, N, T, V], attention [B, N, T, L]."""

    def call(self, inputs, noise=SILENCE):
        return self.unroll(self.encode(inputs, noise), inputs["captions"], noise)

    def encode(self, inputs, noise=SILENCE):
        """The annotations of images: the areas are the regions, the mean of the whole feature map is the summary."""
        maps = {
            name: tf.cast(inputs[name], tf.float32)
            for name in self.input_shapes
            if name != "pixels"
        }
        if self.cnn:
            with_batch_statistics = noise.training and self.finetune.batch_norm == "trained"
            maps["features"] = self.cnn(inputs["pixels"], training=with_batch_statistics)
        for name in (
            "features",
            "region_features",
        ):  # both of one CNN: an image loses the same channels in both
            if name in maps:
                maps[name] = noise.channel_dropout(
                    "channels", maps[name], self.config.channel_dropout
                )
                if self.annotate:
                    maps[name] = tf.cast(self.annotate(maps[name]), tf.float32)
        regions, boxes, present = self.areas(maps, noise)
        return {
            "regions": tf.cast(regions, self.compute_dtype),
            "summary": tf.cast(tf.reduce_mean(maps["features"], axis=[1, 2]), self.compute_dtype),
            "boxes": boxes,
            "present": present,
        }

    # Training

    def prepare_training(self, training, optimizer, seed, objective=None):
        """Must come before the first `train_step`.

        Args:
            training: the `train` section of an experiment. optimizer: a Keras optimizer. seed: of all noise.
            objective: see `keras_sat.training.objectives` (default: the likelihood).
        """
        objective = objective or Likelihood()
        names = self.meter_names if objective.given else Captioner.meter_names
        meters = {name: keras.metrics.Mean(name) for name in names}
        # In a namespace, so that Keras counts none of it among the model's weights: a checkpoint of the model is the model.
        self.training = SimpleNamespace(
            config=training, optimizer=optimizer, seed=seed, objective=objective, meters=meters
        )

    meter_names = ("loss", "word_loss", "accuracy", "filled", "attention_entropy")

    def slow_weights(self):
        """The weights with a learning rate of their own, as [(weights, factor on train.learning_rate)]."""
        return [(self.cnn.trainable_variables, self.finetune.rate)] if self.cnn else []

    @property
    def metrics(self):
        return list(self.training.meters.values()) if self.training else []

    def losses_of(self, inputs, captions_in_batch, noise=SILENCE):
        """This replica's share of every term of the loss: {name: scalar}, and (log_probs, attention).

        Args:
            captions_in_batch: captions of the global batch, by which means over captions are to be divided.
        """
        log_probs, attention = self(inputs, noise=noise)
        smoothing = self.training.config.label_smoothing if noise.training else 0.0
        terms = {
            "cross_entropy": cross_entropy(log_probs, inputs["captions"], smoothing)
            / captions_in_batch
        }
        return terms, (log_probs, attention)

    def train_step(self, inputs):
        """One update by a batch, worked through in `accumulate` parts."""
        optimizer, parts = self.training.optimizer, self.training.config.accumulate
        count = global_sum(self.training.objective.count(inputs))
        rows = tf.shape(inputs["row"])[0] // parts

        def add(part, sums):
            chosen = {
                name: tensor[part * rows : (part + 1) * rows] for name, tensor in inputs.items()
            }
            return part + 1, tf.nest.map_structure(tf.add, sums, self._learn(chosen, count))

        if parts == 1:
            gradients, observed = self._learn(inputs, count)
        else:
            nothing = (
                [tf.zeros_like(variable) for variable in self.trainable_variables],
                tf.zeros([]),
            )
            _, (gradients, observed) = tf.while_loop(
                lambda part, _: part < parts,
                add,
                (0, nothing),
                parallel_iterations=1,
                maximum_iterations=parts,
            )
        if self._scales_loss:
            gradients = optimizer.get_unscaled_gradients(gradients)
        # The optimizer sums the gradients over the replicas, then clips.
        optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        if self.training.objective.given:
            self.after_update(observed, count)
        return {name: meter.result() for name, meter in self.training.meters.items()}

    def _learn(self, inputs, count):
        """The gradients of a part of the batch, dense, and what `observe` keeps of it."""
        noise = Noise(self.training.seed, self.training.optimizer.iterations, inputs["row"])
        with tf.GradientTape() as tape:
            terms, captions, outputs = self.training.objective.losses_of(self, inputs, count, noise)
            loss = tf.add_n(list(terms.values())) + self._weight_decay()
            scaled = self.training.optimizer.get_scaled_loss(loss) if self._scales_loss else loss
        # Some ablations leave a weight without effect: p(w|h) alone does not depend on θ_rh.
        gradients = tape.gradient(scaled, self.trainable_variables, unconnected_gradients="zero")
        self._measure(captions, terms, outputs, count, self._shares)
        # Dense, since Keras would clip the embedding's rows before it adds up the repeated ones.
        return [tf.convert_to_tensor(gradient) for gradient in gradients], self.observe(
            captions, outputs
        )

    def observe(self, captions, outputs):
        """What `after_update` needs of a part of the batch, a scalar that adds up; `outputs` are those of `losses_of`."""
        return tf.zeros([])

    def after_update(self, observed, captions_in_batch):
        """What a system learns beside its gradients, from this replica's sum of what `observe` kept."""

    def test_step(self, inputs):
        count = global_sum(Likelihood().count(inputs))
        terms, outputs = self.losses_of(inputs, count)
        self._measure(inputs["captions"], terms, outputs, count, _replicas())
        return {name: meter.result() for name, meter in self.training.meters.items()}

    def _weight_decay(self):
        """This share of ½ λ |θ|²."""
        if not self.training.config.weight_decay:
            return 0.0
        squares = tf.add_n([tf.nn.l2_loss(weight) for weight in self.trainable_variables])
        return self.training.config.weight_decay * squares / self._shares

    @property
    def _shares(self):
        """In how many parts, on how many replicas, a batch is worked through."""
        return _replicas() * self.training.config.accumulate

    @property
    def _scales_loss(self):
        return isinstance(self.training.optimizer, keras.mixed_precision.LossScaleOptimizer)

    def _measure(self, captions, terms, outputs, captions_in_batch, shares):
        """Updates the metrics by one of the batch's shares; they add up over the replicas when they are read."""
        mask = caption_mask(captions)
        log_probs, attention = outputs
        words = tf.reduce_sum(mask)
        right = tf.cast(tf.argmax(log_probs, -1, captions.dtype) == captions, tf.float32) * mask
        for name, term in {"loss": tf.add_n(list(terms.values())), **terms}.items():
            if name in self.training.meters:
                # A term is a share of the global mean: the shares add up, their weights do to the global count.
                self.training.meters[name].update_state(term * shares, captions_in_batch / shares)
        self.training.meters["word_loss"].update_state(
            cross_entropy(log_probs, captions) / tf.maximum(words, 1), words
        )
        self.training.meters["accuracy"].update_state(
            tf.reduce_sum(right) / tf.maximum(words, 1), words
        )
        entropy = tf.reduce_sum(attention_entropy(attention, captions))
        self.training.meters["attention_entropy"].update_state(
            entropy / tf.maximum(words, 1), words
        )
        self.training.meters["filled"].update_state(
            words / tf.cast(tf.size(captions), tf.float32), tf.size(captions)
        )


def _replicas():
    return tf.distribute.get_replica_context().num_replicas_in_sync


def global_sum(value):
    """The sum over all replicas, the same on each of them."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)
