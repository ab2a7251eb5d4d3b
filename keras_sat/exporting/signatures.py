"""The served graph: from encoded pictures to captions, attention and scores.

It uses only ops that stock TensorFlow Serving has.
"""

import tensorflow as tf

from keras_sat.decoding.search import generate
from keras_sat.encoder.inputs import picture_sizes
from keras_sat.models.losses import word_log_probs
from keras_sat.pictures.box_tensors import batch_in_crop, usable_boxes
from keras_sat.pictures.decode import OK, decode_pictures
from keras_sat.runs.loading import load_captioner, load_vocabulary, picture_features
from keras_sat.text.ids import END, PAD
from keras_sat.utils.progress import progress_bar


class ServedCaptioner:
    """The functions that TensorFlow Serving offers.

    For B images, the K captions of the beam, T ids at most and L regions:

        serving_default
            image_bytes [B] → caption [B], score [B], status [B]
        caption_with_attention
            image_bytes [B] → captions [B, K], scores [B, K], words [B, T], attention [B, T, L],
                              boxes [B, L, 4], status [B]
        score_caption
            image_bytes [B], caption [B] → word_log_probs [B, T], words [B, T],
                                           attention [B, T, L], status [B]

    Scores are log p of a caption. Captions are ordered as the decoding settings rank them. Words
    are those of the best caption, empty after its end; `score_caption` includes the end as <end>,
    since it has a probability. Where the status is not `OK` it says why, strings are empty and
    numbers are zero.

    A captioner of object proposals also takes `boxes` float32 [B, M, 4], in fractions of the whole
    picture, strongest first, padded with zeros. Without any box, the whole picture is the region.

    Args:
        run: a `Run` or `RunEnsemble`.
        max_pixels: int, larger pictures are refused.

    Raises:
        UserError: the run has no checkpoint, or its files do not fit together.
    """

    def __init__(self, run, max_pixels):
        self._model = load_captioner(run)
        self._vocabulary = load_vocabulary(run)
        self._features = picture_features(run)
        self._decoding = run.experiment.decoding
        self._facts = run.facts
        self._max_pixels = max_pixels
        # Traced once for all functions. AutoGraph would change nothing, and take most of the time.
        self._annotations = tf.function(self._encode, autograph=False)

    def trace(self):
        """Traces the functions.

        Returns:
            ({name: concrete function}, a tf.Module with all that they read).
        """
        specs = {"image_bytes": tf.TensorSpec([None], tf.string, "image_bytes")}
        if "boxes" in self._facts.inputs:
            shape = [None, *self._facts.inputs["boxes"]]
            specs["boxes"] = tf.TensorSpec(shape, tf.float32, "boxes")
        caption = {"caption": tf.TensorSpec([None], tf.string, "caption")}
        functions = [
            (self.serving_default, specs),
            (self.caption_with_attention, specs),
            (self.score_caption, specs | caption),
        ]
        traced = {}
        with progress_bar(functions, desc="tracing", unit=" signatures", leave=False) as bar:
            for function, inputs in bar:
                compiled = tf.function(function, autograph=False)
                traced[function.__name__] = compiled.get_concrete_function(**inputs)
        # Only variables, no Keras object: the saved model must load where there is no Keras.
        variables = {}
        for function in traced.values():
            for variable in function.graph.variables:
                variables[id(variable)] = variable
        module = tf.Module()
        module.weights = list(variables.values())
        module.table = self._vocabulary.table
        return traced, module

    def serving_default(self, **inputs):
        annotations, status = self._annotations(**inputs)
        found = generate(self._model, annotations, self._decoding)
        captions = self._vocabulary.decode(found["captions"])
        return _answer(status, caption=captions[:, 0], score=found["log_probs"][:, 0])

    def caption_with_attention(self, **inputs):
        annotations, status = self._annotations(**inputs)
        found = generate(self._model, annotations, self._decoding, best=self._decoding.beam)
        ids = found["captions"][:, 0]
        return _answer(
            status,
            captions=self._vocabulary.decode(found["captions"]),
            scores=found["log_probs"],
            words=self._vocabulary.words_of(tf.where(ids == END, PAD, ids)),
            attention=found["attention"],
            boxes=found["boxes"],
        )

    def score_caption(self, *, caption, **inputs):
        annotations, status = self._annotations(**inputs)
        length = self._decoding.max_length
        ids = self._vocabulary.encode(caption, length).to_tensor(PAD, shape=[None, length])
        captions = ids[:, None]  # [B, 1, T]
        log_probs, attention = self._model.unroll(annotations, captions)
        return _answer(
            status,
            word_log_probs=word_log_probs(log_probs, captions)[:, 0],
            words=self._vocabulary.words_of(ids),
            attention=tf.where(ids[..., None] != PAD, attention[:, 0], 0.0),
        )

    def _encode(self, image_bytes, boxes=None):
        """The annotations of encoded pictures, and the status of each picture."""
        encoder = self._facts.encoder
        sizes = picture_sizes(encoder, self._facts.proposals)
        pictures, status = decode_pictures(image_bytes, sizes, encoder["resize"], self._max_pixels)
        if boxes is not None:
            if encoder["resize"] == "crop":
                boxes = batch_in_crop(boxes, pictures["shape"])
            pictures["boxes"] = usable_boxes(boxes)
        return self._model.encode(self._features(pictures)), status


def _answer(status, **outputs):
    """The outputs, blank where a picture could not be read, with the status."""
    good = status == OK
    answers = {name: _where(good, values) for name, values in outputs.items()}
    return answers | {"status": status}


def _where(condition, values):
    """Values [B, …] where the condition [B] holds, else blank."""
    condition = tf.reshape(condition, [-1] + [1] * (values.shape.rank - 1))
    return tf.where(condition, values, tf.zeros_like(values))
