"""The served graph: from encoded pictures to captions, attention and scores, with stock TensorFlow Serving's ops alone."""

import tensorflow as tf

from keras_sat.decoding.search import generate
from keras_sat.encoder.cnn import picture_sizes
from keras_sat.models.losses import word_log_probs
from keras_sat.pictures.decode import OK, decode_pictures
from keras_sat.text.ids import END, PAD
from keras_sat.utils.progress import progress_bar


def trace(run, max_pixels):
    """Traces the functions that TensorFlow Serving offers. B images, the K captions of the beam, T ids at most, L regions.

        serving_default          image_bytes [B]              → caption [B], score [B], status [B]
        caption_with_attention   image_bytes [B]              → captions [B, K], scores [B, K], words [B, T],
                                                                attention [B, T, L], boxes [B, L, 4], status [B]
        score_caption            image_bytes [B], caption [B] → word_log_probs [B, T], words [B, T], attention [B, T, L],
                                                                status [B]

    Scores are log p of a caption, best first as the decoding settings rank them. Words are those of the best caption, empty
    behind its end; `score_caption` tells the end too, as <end>, since it has a probability. Where the status is not `OK` but
    says why, strings are empty and numbers zero. A captioner of object proposals takes `boxes` float32 [B, M, 4] as well, in
    fractions of the whole picture, strongest first, padded with zeros; without any, the whole picture is the region.

    Args:
        run: a `keras_sat.runs.run.Run` or `RunEnsemble`. max_pixels: int, larger pictures are refused.
    Returns:
        ({name: concrete function}, a tf.Module with all that they read).
    Raises:
        UserError: the run has no checkpoint, or its files do not fit together.
    """
    model, vocabulary, features, facts = run.captioner(), run.vocabulary(), run.features, run.facts
    decoding = run.experiment.decoding
    sizes = picture_sizes(facts["encoder"], facts["proposals"])
    specs = {"image_bytes": tf.TensorSpec([None], tf.string, "image_bytes")}
    if "boxes" in facts["inputs"]:
        specs["boxes"] = tf.TensorSpec([None, *facts["inputs"]["boxes"]], tf.float32, "boxes")

    # Traced once for all of them. AutoGraph would change nothing, and take longer than all else.
    @tf.function(autograph=False)
    def look(image_bytes, boxes=None):
        """(annotations, status)."""
        pictures, status = decode_pictures(
            image_bytes, sizes, facts["encoder"]["resize"], max_pixels
        )
        if boxes is not None:
            boxes = (
                in_crop(boxes, pictures["shape"]) if facts["encoder"]["resize"] == "crop" else boxes
            )
            pictures["boxes"] = usable(boxes)
        return model.encode(features(pictures)), status

    def answer(status, **outputs):
        """Outputs, blank where there was no picture, with the status."""
        good = status == OK
        return {name: _where(good, each) for name, each in outputs.items()} | {"status": status}

    def serving_default(**inputs):
        annotations, status = look(**inputs)
        found = generate(model, annotations, decoding)
        return answer(
            status,
            caption=vocabulary.decode(found["captions"])[:, 0],
            score=found["log_probs"][:, 0],
        )

    def caption_with_attention(**inputs):
        annotations, status = look(**inputs)
        found = generate(model, annotations, decoding, best=decoding.beam)
        ids = found["captions"][:, 0]
        return answer(
            status,
            captions=vocabulary.decode(found["captions"]),
            scores=found["log_probs"],
            words=vocabulary.words_of(tf.where(ids == END, PAD, ids)),
            attention=found["attention"],
            boxes=found["boxes"],
        )

    def score_caption(*, caption, **inputs):
        annotations, status = look(**inputs)
        ids = vocabulary.encode(caption, decoding.max_length).to_tensor(
            PAD, shape=[None, decoding.max_length]
        )
        log_probs, attention = model.unroll(annotations, ids[:, None])
        return answer(
            status,
            word_log_probs=word_log_probs(log_probs, ids[:, None])[:, 0],
            words=vocabulary.words_of(ids),
            attention=tf.where(ids[..., None] != PAD, attention[:, 0], 0.0),
        )

    caption = {"caption": tf.TensorSpec([None], tf.string, "caption")}
    functions = [
        (serving_default, specs),
        (caption_with_attention, specs),
        (score_caption, specs | caption),
    ]
    with progress_bar(functions, desc="tracing", unit=" signatures", leave=False) as bar:
        traced = {
            each.__name__: tf.function(each, autograph=False).get_concrete_function(**inputs)
            for each, inputs in bar
        }
    module = tf.Module()
    # The bare variables and no Keras object: what is saved is to load where there is no Keras.
    module.weights = list(
        {
            id(each): each for function in traced.values() for each in function.graph.variables
        }.values()
    )
    module.table = vocabulary.table
    return traced, module


def _where(condition, values):
    """Values [B, …] where the condition [B] holds, else blank."""
    condition = tf.reshape(condition, [-1] + [1] * (values.shape.rank - 1))
    return tf.where(condition, values, tf.zeros_like(values))


def in_crop(boxes, shapes):
    """`keras_sat.pictures.proposals.in_crop` of a batch: boxes [B, M, 4] of whole pictures of shapes int32 [B, 2]."""
    shapes = tf.cast(tf.tile(tf.maximum(shapes, 1), [1, 2]), tf.float32)
    seen = tf.reduce_min(shapes, axis=-1, keepdims=True) * 224 / 256 / shapes
    return (boxes - 0.5) / seen[:, None] + 0.5


def usable(boxes):
    """The boxes float32 [B, M, 4] that have an area, as far as they lie in the picture, followed by zeros.

    An image without any has one of the whole picture, as `keras_sat.pictures.proposals.propose` gives it.
    """
    boxes = tf.clip_by_value(tf.where(tf.math.is_finite(boxes), boxes, 0.0), 0.0, 1.0)
    empty = tf.reduce_any(boxes[..., 2:] <= boxes[..., :2], axis=-1)
    order = tf.argsort(tf.cast(empty, tf.int32), axis=-1, stable=True)
    boxes = tf.gather(tf.where(empty[..., None], 0.0, boxes), order, batch_dims=1)
    whole = tf.pad([[0.0, 0.0, 1.0, 1.0]], [[0, boxes.shape[1] - 1], [0, 0]])
    return tf.where(tf.reduce_all(empty, axis=-1)[:, None, None], whole, boxes)
