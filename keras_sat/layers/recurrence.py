import tensorflow as tf


def scan(step, inputs, state):
    """Runs a recurrence over time as one loop in the graph.

    Args:
        step: (input [B, N, ·], state) → (outputs, state); outputs and state are nested tensors [B, N, ·].
        inputs: [B, N, T, ·], T ≥ 1.
        state: the state before the first step.
    Returns:
        The outputs of all steps, nested tensors [B, N, T, ·].
    """
    inputs = tf.transpose(inputs, [2, 0, 1, 3])  # [T, B, N, ·]
    steps = tf.shape(inputs)[0]
    outputs, state = step(inputs[0], state)  # the first step, outside the loop, shows what the outputs look like
    arrays = tf.nest.map_structure(lambda o: tf.TensorArray(o.dtype, steps, element_shape=o.shape).write(0, o), outputs)

    def body(t, state, arrays):
        outputs, state = step(inputs[t], state)
        return t + 1, state, tf.nest.map_structure(lambda array, output: array.write(t, output), arrays, outputs)

    _, _, arrays = tf.while_loop(lambda t, *_: t < steps, body, (1, state, arrays), maximum_iterations=steps)
    return tf.nest.map_structure(lambda array: tf.transpose(array.stack(), [1, 2, 0, 3]), arrays)
