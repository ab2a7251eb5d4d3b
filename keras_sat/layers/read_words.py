import tensorflow as tf

from keras_sat.layers.noise import SILENCE
from keras_sat.text.ids import PAD


def read_words(read_out, captions, words, hidden, context, noise=SILENCE):
    """The log-probabilities that an output layer gives to all words, in all steps of captions.

    In training, nothing is computed at padding, where they are zero.

    Args:
        read_out: the output layer.
        captions: int32 [B, N, T].
        words: input of the layer, [B, N, T, ·] or None.
        hidden: input of the layer, [B, N, T, ·] or None.
        context: input of the layer, [B, N, T, ·] or None.
        noise: of the step, see `keras_sat.layers.noise`.

    Returns:
        float32 [B, N, T, V].
    """
    if not noise.training:
        # The number of rows of a matrix product changes its last bits. Leaving rows out would make
        # the answer for an image depend on the other images of its batch.
        return read_out(words, hidden, context)
    shape = tf.shape(captions)
    needed = tf.reshape(captions != PAD, [-1])
    # At least one place, also where all captions of a device are padding: TensorFlow's gradients
    # fail for none.
    places = tf.where(tf.logical_or(needed, tf.range(tf.size(needed)) == 0))[:, 0]  # [P]
    chosen = [_gather(each, places) for each in (words, hidden, context)]
    log_probs = read_out(*chosen, noise=noise.at(places, shape))  # [P, V]
    everywhere = tf.scatter_nd(
        places[:, None], log_probs, tf.stack([tf.size(needed, tf.int64), log_probs.shape[-1]])
    )  # [B·N·T, V]
    return tf.reshape(everywhere, [*tf.unstack(shape), log_probs.shape[-1]])


def _gather(tensor, places):
    """The rows [P, ·] of a tensor [B, N, T, ·] or None."""
    if tensor is None:
        return None
    return tf.gather(tf.reshape(tensor, [-1, tensor.shape[-1]]), places)
