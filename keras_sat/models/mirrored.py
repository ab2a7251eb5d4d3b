"""A captioner that is shown the mirror image."""

import tensorflow as tf

from keras_sat.models.captioner import Captioner
from keras_sat.pictures.box_tensors import flipped_boxes


class Mirrored:
    """Keeps the captioner's contract, in words and places of the picture itself: what is right in the mirror is left here.

    Args:
        model: a `Captioner` or an `Ensemble`.
        features: a function from {"pixels": uint8 [B, S, S, 3] and, if the model takes them, "boxes": [B, M, 4]} to the
            model's inputs, as `Run.features`.
        pixels: the shape of an image's, (S, S, 3). words: int [V], see `Vocabulary.mirrored`.
    """

    def __init__(self, model, features, pixels, words):
        self.model, self.words = model, tf.constant(words, tf.int32)
        self._features = features
        self.input_shapes = {
            "pixels": tuple(pixels),
            **{k: v for k, v in model.input_shapes.items() if k == "boxes"},
        }

    inputs_of, input_specs = Captioner.inputs_of, Captioner.input_specs

    def encode(self, inputs):
        seen = {"pixels": inputs["pixels"][:, :, ::-1]}
        if "boxes" in inputs:
            seen["boxes"] = flipped_boxes(inputs["boxes"])
        annotations = self.model.encode(self._features(seen))
        return annotations | {"boxes": flipped_boxes(annotations["boxes"])}

    def initial_state(self, annotations, n):
        return self.model.initial_state(annotations, n)

    def step(self, tokens, state, annotations):
        log_probs, attention, state = self.model.step(self._swapped(tokens), state, annotations)
        return self._reordered(log_probs), attention, state

    def unroll(self, annotations, captions):
        log_probs, attention = self.model.unroll(annotations, self._swapped(captions))
        return self._reordered(log_probs), attention

    def __call__(self, inputs):
        return self.unroll(self.encode(inputs), inputs["captions"])

    def _swapped(self, ids):
        return tf.gather(self.words, ids)

    def _reordered(self, log_probs):
        return tf.gather(log_probs, self.words, axis=-1)
