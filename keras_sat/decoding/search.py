"""Captions from a captioner, in the graph: beam search, sampling and consensus.

    settings = config.Decoding(beam=5, length_penalty=0.7)
    found = generate(model, model.encode(inputs), settings, best=3)
    found["captions"]  # int32 [B, 3, T]

A model is used through the captioner's contract alone. Search and sampling are each one loop of at
most T steps, whose hypotheses share an image's annotations. An image's captions do not depend on
the other images of its batch.
"""

import tensorflow as tf

from keras_sat.decoding.beam import beam_search
from keras_sat.decoding.consensus import consensus
from keras_sat.decoding.sampling import best_samples
from keras_sat.text.ids import PAD

METHODS = {"beam": beam_search, "sample": best_samples, "consensus": consensus}


def generate(model, annotations, config, best=1):
    """The best captions of images, and the attention of the first of them.

    Where fewer than `best` captions exist at all, the rest is empty and has the score −inf.

    Args:
        model: a `Captioner` or an `Ensemble`.
        annotations: of B images, from `model.encode`.
        config: a `keras_sat.config.Decoding`; T is its `max_length`, K its `beam`.
        best: how many captions per image, at most K.

    Returns:
        A dictionary:

        * "captions": int32 [B, best, T], best first, padded with PAD after END; a caption of T
          words has no END.
        * "log_probs": [B, best], log p of the caption.
        * "scores": [B, best], by which captions are ranked: log p / length^α, or the score of
          `keras_sat.decoding.consensus`.
        * "attention": [B, T, L] of the first caption, zero at padding.
        * "boxes": [B, L, 4].
    """
    found = METHODS[config.method](model, annotations, config, best)
    history = tf.transpose(found.attention, [1, 0, 2, 3])  # [B, T, K, L]
    attention = tf.gather(history, found.origins[:, 0], batch_dims=2)  # [B, T, L]
    regions = annotations["boxes"].shape[1]
    attention = tf.ensure_shape(attention, [None, config.max_length, regions])
    return {
        "captions": found.captions,
        "log_probs": found.log_probs,
        "scores": found.scores,
        "attention": tf.where(found.captions[:, 0, :, None] == PAD, 0.0, attention),
        "boxes": annotations["boxes"],
    }


def caption_function(model, config, best=1):
    """`generate`, compiled, as a function of the model's inputs {name: [B, …]}."""

    def caption(inputs):
        return generate(model, model.encode(inputs), config, best)

    return tf.function(caption, [model.input_specs()], autograph=False)
