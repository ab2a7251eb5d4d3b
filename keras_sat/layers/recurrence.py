import tensorflow as tf


def scan(step, inputs, state):
    """Runs a recurrence over time as one loop in the graph.

    Args:
        step: (inputs [B, N, ·], state) → (outputs, state); all of them are nested tensors.
        inputs: nested tensors [B, N, T, ·], T ≥ 1.
        state: the state before the first step.
    Returns:
        The outputs of all steps, nested tensors [B, N, T, ·].
    """
    inputs = tf.nest.map_structure(lambda i: tf.transpose(i, [2, 0, 1, *range(3, i.shape.rank)]), inputs)  # [T, B, N, ·]
    steps = tf.shape(tf.nest.flatten(inputs)[0])[0]

    def at(t):
        return tf.nest.map_structure(lambda i: i[t], inputs)

    outputs, state = step(at(0), state)  # the first step, outside the loop, shows what the outputs look like
    arrays = tf.nest.map_structure(lambda o: tf.TensorArray(o.dtype, steps, element_shape=o.shape).write(0, o), outputs)

    def body(t, state, arrays):
        outputs, state = step(at(t), state)
        return t + 1, state, tf.nest.map_structure(lambda array, output: array.write(t, output), arrays, outputs)

    _, _, arrays = tf.while_loop(lambda t, *_: t < steps, body, (1, state, arrays), maximum_iterations=steps)
    return tf.nest.map_structure(_batch_first, arrays)


def _batch_first(array):
    stacked = array.stack()  # [T, B, N, ·]
    return tf.transpose(stacked, [1, 2, 0, *range(3, stacked.shape.rank)])
