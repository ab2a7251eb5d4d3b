"""A captioner that sees the horizontally flipped picture."""

import tensorflow as tf

from keras_sat.models.captioner import Captioner
from keras_sat.pictures.box_tensors import flipped_boxes


class Flipped:
    """A captioner that reads the flipped picture and answers for the picture before the flip.

    It keeps the captioner's contract. `left` and `right` are exchanged in captions, and boxes are
    flipped back.

    Args:
        model: a `Captioner` or an `Ensemble`.
        features: a function from {"pixels": uint8 [B, S, S, 3]} to the model's inputs, see
            `keras_sat.runs.loading.picture_features`. If the model reads boxes, it also takes
            "boxes" [B, M, 4].
        pixels: the shape of an image's pixels, (S, S, 3).
        words: int [V], the id of each word after a flip, see
            `keras_sat.text.vocabulary.Vocabulary.mirrored`.
    """

    def __init__(self, model, features, pixels, words):
        self.model = model
        self.words = tf.constant(words, tf.int32)
        self._features = features
        self.input_shapes = {"pixels": tuple(pixels)}
        if "boxes" in model.input_shapes:
            self.input_shapes["boxes"] = model.input_shapes["boxes"]

    inputs_of = Captioner.inputs_of
    input_specs = Captioner.input_specs

    def encode(self, inputs):
        flipped = {"pixels": inputs["pixels"][:, :, ::-1]}
        if "boxes" in inputs:
            flipped["boxes"] = flipped_boxes(inputs["boxes"])
        annotations = self.model.encode(self._features(flipped))
        return annotations | {"boxes": flipped_boxes(annotations["boxes"])}

    def initial_state(self, annotations, n):
        return self.model.initial_state(annotations, n)

    def step(self, tokens, state, annotations):
        log_probs, attention, state = self.model.step(self._flipped(tokens), state, annotations)
        return self._reordered(log_probs), attention, state

    def unroll(self, annotations, captions):
        log_probs, attention = self.model.unroll(annotations, self._flipped(captions))
        return self._reordered(log_probs), attention

    def __call__(self, inputs):
        return self.unroll(self.encode(inputs), inputs["captions"])

    def _flipped(self, ids):
        return tf.gather(self.words, ids)

    def _reordered(self, log_probs):
        return tf.gather(log_probs, self.words, axis=-1)
