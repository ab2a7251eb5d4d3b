"""The captioner's contract, which decoding, evaluation, visualisation, ensembles and export use."""

import abc

import keras
import tensorflow as tf

from keras_sat import layers
from keras_sat.layers.noise import SILENCE
from keras_sat.models.keras_model import KerasModel
from keras_sat.models.losses import cross_entropy


class Captioner(KerasModel, abc.ABC):
    """A model that writes captions word by word. N hypotheses share one image's annotations.

    Four methods are the contract (B images, N hypotheses, T steps, L regions, V words):

        annotations = model.encode(inputs)
            once per image: {"regions": [B, L, D], "summary": [B, S],
            "boxes": [B, L, 4] (y, x, y, x in 0–1), …}
        state = model.initial_state(annotations, n)
            nested tensors [B, N, ·]
        log_probs, attention, state = model.step(tokens, state, annotations)
            tokens [B, N] → [B, N, V], [B, N, L]
        log_probs, attention = model(inputs)
            teacher forced: captions [B, N, T] → [B, N, T, V], [B, N, T, L]

    `model(inputs)` gives the same numbers as T calls of `step`. `unroll` does the same for images
    that are already encoded. The first token is START.

    Inputs are {"features": float32 [B, h, w, D]}, or {"pixels": uint8 [B, S, S, 3]} where the CNN
    is part of the model, and whatever else `input_shapes` names. Training also needs "captions"
    int32 [B, N, T] (ending with END, padded with PAD) and "row" int32 [B], the image's row in the
    global batch.

    Args:
        config: the system's section of the experiment.
        vocabulary_size: V.
        input_shapes: {name: shape of one image's input}, such as {"features": (h, w, D)}.
        cnn: the CNN to train together with the captioner, from pixels to the feature map; None:
            features are read.
        finetune: a `keras_sat.config.FineTuning` for the CNN.
        max_length: the number of words to which `predict` pads its answer.
        **kwargs: those of `keras.Model`.
    """

    extra_meters = ()  # names of the loss terms that are metered beside those of every captioner

    def __init__(
        self,
        config,
        vocabulary_size,
        input_shapes,
        cnn=None,
        finetune=None,
        max_length=40,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)  # the layers cast what they compute with
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.input_shapes = {name: tuple(shape) for name, shape in input_shapes.items()}
        self.cnn = cnn
        self.finetune = finetune
        self.max_length = max_length
        self.annotate = None
        if config.annotation_size:
            self.annotate = keras.layers.Dense(config.annotation_size, "relu", name="annotate")
        self.areas = layers.Grid()

    @property
    def region_size(self):
        """D, the length of an annotation."""
        if self.config.annotation_size:
            return self.config.annotation_size
        shape = self.cnn.output_shape if self.cnn else self.input_shapes["features"]
        return shape[-1]

    def inputs_of(self, batch):
        """The part of a batch that the model reads."""
        return {name: batch[name] for name in self.input_shapes}

    def input_specs(self):
        """{name: tf.TensorSpec} of `inputs_of` for any number of images."""
        specs = {}
        for name, shape in self.input_shapes.items():
            dtype = tf.uint8 if name == "pixels" else tf.float32
            specs[name] = tf.TensorSpec([None, *shape], dtype)
        return specs

    @abc.abstractmethod
    def initial_state(self, annotations, n): ...

    @abc.abstractmethod
    def step(self, tokens, state, annotations): ...

    @abc.abstractmethod
    def unroll(self, annotations, captions, noise=SILENCE):
        """Teacher forcing over captions of images that are already encoded.

        Args:
            annotations: see `encode`.
            captions: int32 [B, N, T].
            noise: a `keras_sat.layers.noise.Noise` in training.

        Returns:
            (log_probs [B, N, T, V], attention [B, N, T, L]).
        """

    def call(self, inputs, noise=SILENCE):
        return self.unroll(self.encode(inputs, noise), inputs["captions"], noise)

    def encode(self, inputs, noise=SILENCE):
        """The annotations of images.

        Args:
            inputs: see the class.
            noise: a `keras_sat.layers.noise.Noise` in training.

        Returns:
            {"regions": the areas' [B, L, D], "summary": the mean of the whole feature map [B, D],
            "boxes": float32 [B, L, 4], "present": bool [B, L], which regions exist}, and what a
            system adds.
        """
        maps = {}
        for name in self.input_shapes:
            if name != "pixels":
                maps[name] = tf.cast(inputs[name], tf.float32)
        if self.cnn:
            batch_statistics = noise.training and self.finetune.batch_norm == "trained"
            maps["features"] = self.cnn(inputs["pixels"], training=batch_statistics)
        # Both maps are one CNN's: an image loses the same channels in both.
        for name in ("features", "region_features"):
            if name in maps:
                maps[name] = self._annotated(maps[name], noise)
        regions, boxes, present = self.areas(maps, noise)
        summary = tf.reduce_mean(maps["features"], axis=[1, 2])  # [B, D]
        return {
            "regions": tf.cast(regions, self.compute_dtype),
            "summary": tf.cast(summary, self.compute_dtype),
            "boxes": boxes,
            "present": present,
        }

    def _annotated(self, feature_map, noise):
        """A feature map float32 [B, h, w, D] after channel dropout and the annotation layer."""
        feature_map = noise.channel_dropout("channels", feature_map, self.config.channel_dropout)
        if self.annotate is None:
            return feature_map
        return tf.cast(self.annotate(feature_map), tf.float32)

    # Training

    def slow_weights(self):
        """The weights with a learning rate of their own.

        Returns:
            [(weights, factor on `train.learning_rate`)].
        """
        return [(self.cnn.trainable_variables, self.finetune.rate)] if self.cnn else []

    def loss_terms(self, inputs, captions_in_batch, noise=SILENCE):
        """This replica's share of every term of the loss.

        Args:
            inputs: a batch, see the class.
            captions_in_batch: float32 [], the count of captions in the global batch, by which sums
                over captions are divided.
            noise: of training; without noise, labels are not smoothed.

        Returns:
            ({name: scalar}, (log_probs, attention)).
        """
        log_probs, attention = self(inputs, noise=noise)
        smoothing = self.label_smoothing if noise.training else 0.0
        entropy = cross_entropy(log_probs, inputs["captions"], smoothing)
        return {"cross_entropy": entropy / captions_in_batch}, (log_probs, attention)

    def observe(self, captions, outputs):
        """What `after_update` needs of a part of the batch.

        Args:
            captions: int32 [B, N, T], those that were scored.
            outputs: (log_probs, attention) of `loss_terms`.

        Returns:
            A scalar; the values of a batch's parts are added up.
        """
        return tf.zeros([])

    def after_update(self, observed, captions_in_batch):
        """Updates what a system learns other than by gradients.

        Args:
            observed: this replica's sum of what `observe` returned.
            captions_in_batch: float32 [], the count of captions in the global batch.
        """
