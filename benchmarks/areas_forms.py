"""The two forms of the joint softmax that benchmarks/areas_joint_softmax.py compares."""

import resource
import time

import keras
import tensorflow as tf

from keras_sat import config
from keras_sat.models.areas import AreasCaptioner


class WrittenOut(AreasCaptioner):
    """Holds p(w, r|h) as a tensor at every step, as equation 2 is written."""

    def _recur(self, inputs, state, annotations, constants=None):
        hidden = self.gru(inputs["words"], state["pooled"], state["hidden"])
        b = self.interaction.region_scores(hidden, annotations)  # [B, N, L]
        a = self.interaction.word_scores(hidden, annotations)  # [B, N, V]
        word_region = tf.linalg.matrix_transpose(annotations["word_region"]["scores"])  # [B, V, L]
        scores = a[..., None] + b[:, :, None] + word_region[:, None]  # [B, N, V, L]
        shape = tf.shape(scores)
        flat = tf.reshape(scores, [shape[0], shape[1], -1])
        joint = tf.reshape(tf.nn.softmax(flat), shape)
        read = {
            "log_probs": tf.math.log(tf.reduce_sum(joint, 3) + 1e-30),
            "attention": tf.reduce_sum(joint, 2),
            "a": a,
        }
        return read, {"hidden": hidden, "pooled": self._pool(read["attention"], annotations)}

    def _distributions(self, read, annotations):
        return read["log_probs"], read["attention"]


MODELS = {"factorised": AreasCaptioner, "written out": WrittenOut}


def _build(form, words, grid, width):
    settings = config.Areas(embedding_size=width, state_size=width, state_dropout=0.0)
    model = MODELS[form](settings, words, {"features": (grid, grid, width)})
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def measure(form, batch, each, words, grid, width, steps):
    """Measures training steps.

    Args:
        form: of the joint softmax.
        batch: captions in a batch.
        each: captions of an image.
        words: in the vocabulary.
        grid: height and width of the grid of regions.
        width: of all layers.
        steps: words of a caption.
    Returns:
        {"losses": of four steps, "seconds": of the fastest after the first, "bytes": of the peak}.
    """
    images = batch // each
    model = _build(form, words, grid, width)
    inputs = {
        "features": tf.random.stateless_normal([images, grid, grid, width], [1, 2]),
        "captions": tf.random.stateless_uniform([images, each, steps], [3, 4], 3, words, tf.int32),
        "row": tf.range(images),
    }
    model({name: value[:1] for name, value in inputs.items()})
    for index, weight in enumerate(model.trainable_variables):
        # Small weights: with large ones the recurrence is chaotic, and the loss shows the rounding
        # of the form written out.
        weight.assign(0.02 * tf.random.stateless_normal(weight.shape, [index, 1]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = tf.function(model.train_step, autograph=False)
    losses = []
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        model.reset_metrics()
        losses.append(float(step(inputs)["loss"]))
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"losses": losses, "seconds": min(seconds[1:]), "bytes": (peak - before) * 1024}
