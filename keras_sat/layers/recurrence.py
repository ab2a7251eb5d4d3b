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


class LoopConstants:
    """Constants of a loop whose gradient is taken after it, for all steps in one product instead of a sum of large ones.

    In the loop, `function(x_t, stop_gradient(constants)) + slots_t` stands for `function(x_t, constants)`. The slots are
    zero; the gradient that reaches them goes on to the constants, by what the loop's `inputs` to the function were.

    Args:
        function: (x [B, Q, ·], constants) → [B, Q, M]. constants: nested tensors.
        shape: (B, N, T, M), of the slots.

    Example:
        scores = LoopConstants(tf.matmul, matrix, [batch, n, steps, size])
        outputs = scan(step, {"slots": scores.slots, …}, state)      # step: tf.matmul(x, stop_gradient(matrix)) + slots
        scores.inputs = outputs["x"]                                 # [B, N, T, ·]
    """

    def __init__(self, function, constants, shape):
        self._function, self._constants, self._shape = function, constants, shape
        self.inputs = None
        self.slots = self._zeros(*tf.nest.flatten(constants))

    @property
    def _zeros(self):
        @tf.custom_gradient
        def zeros(*flat):
            return tf.zeros(self._shape), lambda upstream: self._gradient(flat, upstream)

        return zeros

    def _gradient(self, flat, upstream):
        batch, n, steps, size = tf.unstack(tf.shape(upstream))
        with tf.GradientTape() as tape:
            tape.watch([each for each in flat if each.dtype.is_floating])
            x = tf.reshape(self.inputs, [batch, n * steps, tf.shape(self.inputs)[-1]])
            y = self._function(tf.stop_gradient(x), tf.nest.pack_sequence_as(self._constants, flat))
        return tape.gradient(y, flat, tf.reshape(upstream, [batch, n * steps, size]))


def _batch_first(array):
    stacked = array.stack()  # [T, B, N, ·]
    return tf.transpose(stacked, [1, 2, 0, *range(3, stacked.shape.rank)])
