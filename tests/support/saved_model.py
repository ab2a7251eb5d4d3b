"""A small SavedModel with the captioner's three signatures.

It names the colours of a picture's quarters, and computes them with real TensorFlow ops.
"""

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

COLOURS = ("red", "green", "blue")
QUARTERS = [[0, 0, 0.5, 0.5], [0, 0.5, 0.5, 1], [0.5, 0, 1, 0.5], [0.5, 0.5, 1, 1]]
SIGNATURES = ("serving_default", "caption_with_attention", "score_caption")
BATCHING = """max_batch_size { value: 8 } allowed_batch_sizes: [1, 2, 4, 8]
batch_timeout_micros { value: 2000 } max_enqueued_batches { value: 8 }
num_batch_threads { value: 1 }"""


class Captioner(tf.Module):
    """Names the colours of the four quarters.

    Args:
        version: at the end of every caption.
        work: rounds of a loop that each batch takes, each of some microseconds on one core.
    """

    def __init__(self, version, work=0):
        super().__init__()
        self._end = f" ({version})"
        self._work = tf.Variable(work, trainable=False)
        numbers = tf.range(len(COLOURS), dtype=tf.int64)
        words = tf.lookup.KeyValueTensorInitializer(numbers, tf.constant(COLOURS))
        self._words = tf.lookup.StaticHashTable(words, "?")

    def _see(self, image_bytes):
        """Returns the mean colours of the quarters, float [B, 4, 3], and the status, string [B]."""

        def decode(index, encoded):
            pixels = tf.io.decode_image(encoded, 3, expand_animations=False)
            return index, tf.image.resize(pixels, [2, 2], "area")

        batch = tf.shape(image_bytes)[0]
        images = tf.data.Dataset.from_tensor_slices((tf.range(batch), image_bytes))
        decoded = images.map(decode).ignore_errors()
        # One more picture, so that the data set is not empty if no image can be decoded.
        sentinel = tf.data.Dataset.from_tensors((batch, tf.zeros([2, 2, 3])))
        batches = decoded.concatenate(sentinel).batch(tf.cast(batch + 1, tf.int64))
        indices, pictures = batches.get_single_element()
        indices = indices[:, None]
        quarters = tf.reshape(pictures, [-1, 4, 3])
        colours = tf.scatter_nd(indices, quarters, [batch + 1, 4, 3])[:-1]
        valid = tf.scatter_nd(indices, tf.ones_like(indices[:, 0]), [batch + 1])[:-1] > 0
        one = tf.constant(1.0)
        for _ in tf.range(self._work):
            one = tf.sqrt(one)
        return colours * one, tf.where(valid, "OK", "not a picture that can be read")

    def _describe(self, image_bytes):
        colours, status = self._see(image_bytes)
        words = self._words.lookup(tf.argmax(colours, -1))  # [B, 4]
        captions = tf.strings.reduce_join(words, -1, separator=" ") + self._end  # [B]
        return tf.where(status == "OK", captions, ""), words, colours, status

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serving_default(self, image_bytes):
        caption, _, colours, status = self._describe(image_bytes)
        return {"caption": caption, "score": tf.reduce_mean(colours, [1, 2]), "status": status}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def caption_with_attention(self, image_bytes):
        caption, words, colours, status = self._describe(image_bytes)
        batch = tf.shape(image_bytes)[0]
        return {
            "captions": tf.stack([caption, caption + "?"], 1),
            "scores": tf.reduce_mean(colours, [1])[:, :2],
            "words": words,
            "attention": tf.eye(4, batch_shape=[batch]),
            "boxes": tf.tile(tf.constant(QUARTERS)[None], [batch, 1, 1]),
            "status": status,
        }

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.string)]
    )
    def score_caption(self, image_bytes, caption):
        _, words, _, status = self._describe(image_bytes)
        given = tf.strings.split(caption).to_tensor("", shape=[None, 4])
        return {
            "word_log_probs": tf.where(given == words, -0.1, -5.0),
            "words": given,
            "attention": tf.eye(4, batch_shape=[tf.shape(image_bytes)[0]]),
            "status": status,
        }


class ProposalCaptioner(Captioner):
    """Takes four boxes per image, padded with zeros, and returns them."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None, 4, 4])])
    def caption_with_attention(self, image_bytes, boxes):
        return {**super().caption_with_attention(image_bytes), "boxes": boxes}


def save(base_path, version, work=0, batching=BATCHING, warm_up=(), captioner=Captioner):
    """Saves a version as an export does: its folder appears only when it is complete.

    Args:
        base_path: the model's folder.
        version: its number.
        work: as for `Captioner`.
        batching: the text of batching_params.pbtxt.
        warm_up: the images of each warm-up request.
        captioner: `Captioner`, or a class like it.

    Returns:
        The version's folder.
    """
    base_path = Path(base_path)
    module = captioner(version, work)
    partial = base_path / f".{version}.partial"
    signatures = {name: getattr(module, name) for name in SIGNATURES}
    tf.saved_model.save(module, str(partial), signatures=signatures)
    (partial / "batching_params.pbtxt").write_text(batching)
    extra = partial / "assets.extra"
    extra.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for images in warm_up:
            request = PredictRequest(inputs={"image_bytes": tf.make_tensor_proto(images)})
            log = PredictionLog(predict_log=PredictLog(request=request))
            writer.write(log.SerializeToString())
    return partial.rename(base_path / str(version))


def picture(seed):
    """PNG bytes of random colours."""
    pixels = np.random.default_rng(seed).integers(0, 256, [2, 2, 3], np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((24, 24), Image.Resampling.NEAREST).save(buffer, "png")
    return buffer.getvalue()
