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
    """Large constants of a loop, whose gradient is taken after it: for all steps in one product, not as a sum over steps.

    TensorFlow would carry a gradient of each constant through all iterations, and add to it each time. Here the loop sees
    the constants as integers, which have none. Its steps add `slots` to what they compute: zeros that hand the gradient
    which reaches them on to the constants, by what the loop's `inputs` to the function were.

    Args:
        function: (x [B, Q, ·], constants, constant=False) → [B, Q, M]; with `constant` it need not differentiate by them.
        constants: nested tensors. shape: (B, N, T, M), of the slots.

    Example:
        constants = LoopConstants(function, matrices, [batch, n, steps, size])
        outputs = scan(step, {"slots": constants.slots, …}, state)      # step: y = constants(x, slots)
        constants.inputs = outputs["x"]                                 # [B, N, T, ·]
    """

    def __init__(self, function, constants, shape):
        self._function = function
        self._hidden = tf.nest.map_structure(lambda c: tf.bitcast(c, tf.int32) if c.dtype == tf.float32 else c, constants)
        self.inputs = None

        @tf.custom_gradient
        def slots(*flat):
            return tf.zeros(shape), lambda upstream: self._gradient(tf.nest.pack_sequence_as(constants, flat), upstream)

        self.slots = slots(*tf.nest.flatten(constants))

    def __call__(self, x, slots):
        """The function of a step's x [B, N, ·] in the loop, with the step's part of the slots [B, N, M]."""
        constants = tf.nest.map_structure(lambda c: tf.bitcast(c, tf.float32) if c.dtype == tf.int32 else c, self._hidden)
        return self._function(x, constants, constant=True) + slots

    def _gradient(self, constants, upstream):
        batch, n, steps, size = tf.unstack(tf.shape(upstream))
        flat = tf.nest.flatten(constants)
        with tf.GradientTape() as tape:
            tape.watch([each for each in flat if each.dtype.is_floating])
            x = tf.stop_gradient(tf.reshape(self.inputs, [batch, n * steps, tf.shape(self.inputs)[-1]]))
            y = self._function(x, constants)
        return tape.gradient(y, flat, tf.reshape(upstream, [batch, n * steps, size]))


def _batch_first(array):
    stacked = array.stack()  # [T, B, N, ·]
    return tf.transpose(stacked, [1, 2, 0, *range(3, stacked.shape.rank)])
