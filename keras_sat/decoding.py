"""Captions from a captioner, in the graph, through the captioner's contract alone."""

import tensorflow as tf

from keras_sat.text import END, PAD, START


def greedy(model, annotations, max_length):
    """The most probable word at every step.

    Args:
        model: a `Captioner`. annotations: of B images, from `model.encode`.
        max_length: T, the most ids a caption may have, END included. A caption that long may lack its END.
    Returns:
        {"captions": int32 [B, 1, T], padded with PAD after END; "scores": [B, 1], log p of the caption;
        "attention": [B, 1, T, L], zero at padding}.
    """
    batch = tf.shape(annotations["boxes"])[0]
    regions = annotations["boxes"].shape[1]
    words = tf.TensorArray(tf.int32, max_length, element_shape=[None, 1])
    weights = tf.TensorArray(tf.float32, max_length, element_shape=[None, 1, regions])

    def step(t, tokens, done, scores, state, words, weights):
        log_probs, attention, state = model.step(tokens, state, annotations)
        tokens = tf.where(done, PAD, tf.argmax(log_probs, axis=-1, output_type=tf.int32))  # [B, 1]
        scores += tf.where(done, 0.0, tf.reduce_max(log_probs, axis=-1))
        words = words.write(t, tokens)
        weights = weights.write(t, tf.where(done[..., None], 0.0, attention))
        return t + 1, tokens, done | (tokens == END), scores, state, words, weights

    def unfinished(t, tokens, done, *_):
        return ~tf.reduce_all(done)

    start = (0, tf.fill([batch, 1], START), tf.fill([batch, 1], False), tf.zeros([batch, 1]))
    *_, scores, _, words, weights = tf.while_loop(
        unfinished, step, (*start, model.initial_state(annotations, 1), words, weights), maximum_iterations=max_length
    )
    captions = tf.ensure_shape(tf.transpose(words.stack(), [1, 2, 0]), [None, 1, max_length])
    return {"captions": captions, "scores": scores, "attention": tf.transpose(weights.stack(), [1, 2, 0, 3])}


def caption_function(model, max_length):
    """A compiled function from the model's inputs, {name: [B, …]}, to what `greedy` returns and "boxes" [B, L, 4]."""

    def generate(inputs):
        annotations = model.encode(inputs)
        return greedy(model, annotations, max_length) | {"boxes": annotations["boxes"]}

    return tf.function(generate, [model.input_specs()])
