"""The captioner's contract: what decoding, evaluation, pictures, ensembles and export may use of any system."""

import abc

import keras
import tensorflow as tf

from keras_sat.losses import caption_mask, cross_entropy
from keras_sat.noise import SILENCE, Noise
from keras_sat.text import START


class Captioner(keras.Model, abc.ABC):
    """A model that writes captions word by word. N hypotheses share one image's annotations.

    Four methods are the contract (B images, N hypotheses, T steps, L regions, V words):

        annotations = model.encode(inputs)                 once an image: {"regions": [B, L, D], "summary": [B, S],
                                                           "boxes": [B, L, 4] (y, x, y, x in 0–1), …}
        state = model.initial_state(annotations, n)        nested tensors [B, N, ·]
        log_probs, attention, state = model.step(tokens, state, annotations)      tokens [B, N] → [B, N, V], [B, N, L]
        log_probs, attention = model(inputs)               teacher forced: captions [B, N, T] → [B, N, T, V], [B, N, T, L]

    `model(inputs)` gives the same numbers as T calls of `step`. The first token is START.

    Inputs: {"features": float32 [B, h, w, D]} and, to train, "captions" int32 [B, N, T] (ending with END, padded with
    PAD) and "row" int32 [B], the image's row in the global batch.

    Args:
        config: the system's section of the experiment.
        vocabulary_size: V.
        feature_shape: (h, w, D).
    """

    def __init__(self, config, vocabulary_size, feature_shape, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.feature_shape = tuple(feature_shape)
        self.region_size = feature_shape[-1]
        self.training_config = None
        self._meters = {}

    @abc.abstractmethod
    def initial_state(self, annotations, n): ...

    @abc.abstractmethod
    def step(self, tokens, state, annotations): ...

    @abc.abstractmethod
    def call(self, inputs, noise=SILENCE): ...

    def encode(self, inputs, noise=SILENCE):
        """The annotations of a feature map [B, h, w, D]: its cells are the regions, their mean is the summary."""
        features = tf.cast(inputs["features"], tf.float32)
        batch, (height, width, size) = tf.shape(features)[0], features.shape[1:]
        regions = tf.reshape(features, [batch, height * width, size])
        return {
            "regions": tf.cast(regions, self.compute_dtype),
            "summary": tf.cast(tf.reduce_mean(regions, axis=1), self.compute_dtype),
            "boxes": tf.tile(grid_boxes(height, width)[None], [batch, 1, 1]),
        }

    # Training

    def prepare_training(self, training, optimizer, seed):
        """Must come before the first `train_step`.

        Args:
            training: the `train` section of an experiment. optimizer: a Keras optimizer. seed: of all noise.
        """
        self.training_config = training
        self.seed = seed
        self.optimizer = optimizer
        self._meters = {name: keras.metrics.Mean(name) for name in self.meter_names}

    meter_names = ("loss", "word_loss", "accuracy", "filled")

    @property
    def metrics(self):
        return list(self._meters.values())

    def losses_of(self, inputs, captions_in_batch, noise=SILENCE):
        """This replica's share of every term of the loss: {name: scalar}, and (log_probs, attention).

        Args:
            captions_in_batch: captions of the global batch, by which means over captions are to be divided.
        """
        log_probs, attention = self(inputs, noise=noise)
        smoothing = self.training_config.label_smoothing if noise is not SILENCE else 0.0
        terms = {"cross_entropy": cross_entropy(log_probs, inputs["captions"], smoothing) / captions_in_batch}
        return terms, (log_probs, attention)

    def train_step(self, inputs):
        noise = Noise(self.seed, self.optimizer.iterations, inputs["row"])
        count = _global_sum(_captions(inputs))
        with tf.GradientTape() as tape:
            terms, outputs = self.losses_of(inputs, count, noise)
            loss = tf.add_n(list(terms.values())) + self._weight_decay()
            scaled = self.optimizer.get_scaled_loss(loss) if self._scales_loss else loss
        gradients = tape.gradient(scaled, self.trainable_variables)
        if self._scales_loss:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        # Dense, since Keras would clip the embedding's rows before it adds up the repeated ones.
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        # The optimizer sums the gradients over the replicas, then clips.
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return self._measure(inputs, terms, outputs)

    def test_step(self, inputs):
        terms, outputs = self.losses_of(inputs, _global_sum(_captions(inputs)))
        return self._measure(inputs, terms, outputs)

    def _weight_decay(self):
        """This replica's share of ½ λ |θ|²."""
        if not self.training_config.weight_decay:
            return 0.0
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        squares = tf.add_n([tf.nn.l2_loss(weight) for weight in self.trainable_variables])
        return self.training_config.weight_decay * squares / replicas

    @property
    def _scales_loss(self):
        return isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer)

    def _measure(self, inputs, terms, outputs):
        """Updates the metrics, which add up over the replicas when they are read: their weights are counts."""
        captions, mask = inputs["captions"], caption_mask(inputs["captions"])
        log_probs, _ = outputs
        count, words = _captions(inputs), tf.reduce_sum(mask)
        total = _global_sum(count)
        right = tf.cast(tf.argmax(log_probs, -1, captions.dtype) == captions, tf.float32) * mask
        replicas = tf.cast(tf.distribute.get_replica_context().num_replicas_in_sync, tf.float32)
        for name, term in {"loss": tf.add_n(list(terms.values())), **terms}.items():
            if name in self._meters:
                # A term is a share of the global mean: the replicas' shares add up, their weights do to the global count.
                self._meters[name].update_state(term * replicas, total / replicas)
        self._meters["word_loss"].update_state(cross_entropy(log_probs, captions) / tf.maximum(words, 1), words)
        self._meters["accuracy"].update_state(tf.reduce_sum(right) / tf.maximum(words, 1), words)
        self._meters["filled"].update_state(words / tf.cast(tf.size(captions), tf.float32), tf.size(captions))
        return {name: meter.result() for name, meter in self._meters.items()}


def grid_boxes(height, width):
    """The cells of a grid as boxes (ymin, xmin, ymax, xmax) in 0–1, row by row; float32 [height·width, 4]."""
    y, x = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    corners = tf.reshape(tf.stack([y, x, y + 1, x + 1], axis=-1), [-1, 4])
    return tf.cast(corners / tf.constant([height, width, height, width]), tf.float32)


def shift_right(captions):
    """The inputs that predict captions [B, N, T]: START in front, the last one dropped."""
    return tf.pad(captions[..., :-1], [[0, 0], [0, 0], [1, 0]], constant_values=START)


def _captions(inputs):
    """How many captions this replica holds (padding captions hold no word), float32."""
    return tf.reduce_sum(tf.reduce_max(caption_mask(inputs["captions"]), axis=-1))


def _global_sum(value):
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)
