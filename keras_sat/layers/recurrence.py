import tensorflow as tf


def scan(step, inputs, state, needed):
    """Runs a recurrence over time as one loop in the graph.

    Args:
        step: (inputs [B, N, ·], state) → (outputs, state); all of them are nested tensors.
        inputs: nested tensors [B, N, T, ·], T ≥ 1.
        state: the state before the first step.
        needed: bool [B, N, T], the steps whose outputs matter: of each sequence some first ones. Sequences at the end of N
            are left out once no image needs them any more, so the longest should come first.
    Returns:
        The outputs of all steps, nested tensors [B, N, T, ·]; zero where a sequence was left out.
    """
    count, steps = tf.unstack(tf.shape(needed))[1:]
    places = tf.range(1, count + 1)[:, None]
    running = tf.reduce_max(tf.where(needed, places, 1), axis=[0, 1])  # [T]
    inputs = tf.nest.map_structure(_time_first, inputs)

    def at(t):
        return tf.nest.map_structure(lambda array: array.read(t), inputs)

    first = step(at(0), state)  # outside the loop: it shows what the outputs look like
    outputs, state = first
    arrays = tf.nest.map_structure(
        lambda o: tf.TensorArray(o.dtype, steps, element_shape=o.shape).write(0, o), outputs
    )

    def filled(tensor, like):
        missing = count - tf.shape(tensor)[1]
        tensor = tf.pad(tensor, [[0, 0], [0, missing], *[[0, 0]] * (tensor.shape.rank - 2)])
        return tf.ensure_shape(tensor, like.shape)

    def body(t, state, arrays):
        chosen = tf.nest.map_structure(lambda tensor: tensor[:, : running[t]], (at(t), state))
        outputs, state = tf.nest.map_structure(filled, step(*chosen), first)
        return (
            t + 1,
            state,
            tf.nest.map_structure(lambda array, output: array.write(t, output), arrays, outputs),
        )

    _, _, arrays = tf.while_loop(
        lambda t, *_: t < steps, body, (1, state, arrays), maximum_iterations=steps
    )
    return tf.nest.map_structure(_batch_first, arrays)


def before_each(state, states):
    """The state before each step: state [B, N, ·] before the first, states [B, N, T, ·] after each → [B, N, T, ·]."""
    return tf.concat([state[:, :, None], states[:, :, :-1]], axis=2)


class LoopConstants:
    """Large constants of a loop, whose gradient is taken after it: for all steps in one product, not as a sum over steps.

    TensorFlow would carry a gradient of each constant through all iterations, and add to it each time. Here the loop sees
    the constants as integers, which have none. Its steps add `slots` to what they compute: these hand the gradient which
    reaches them on to the constants as well, by what the loop's `inputs` to the function were.

    Args:
        function: (x, constants, constant=False) → [B, Q, M], x nested tensors [B, Q, ·]; with `constant` it need not
            differentiate by the constants.
        constants: nested tensors. slots: [B, N, T, M], to which the function's values are added.

    Example:
        constants = LoopConstants(function, matrices, tf.zeros([batch, n, steps, size]))
        outputs = scan(step, {"slots": constants.slots, …}, state)      # step: y = constants(x, slots)
        constants.inputs = outputs["x"]                                 # [B, N, T, ·]
    """

    def __init__(self, function, constants, slots):
        self._function = function
        self._hidden = tf.nest.map_structure(
            lambda c: _as(_INTEGERS.get(c.dtype, c.dtype), c), constants
        )
        self._types = tf.nest.map_structure(lambda c: c.dtype, constants)
        self.inputs = None

        @tf.custom_gradient
        def attached(slots, *flat):
            def gradient(upstream):
                return upstream, *self._gradient(
                    tf.nest.pack_sequence_as(constants, flat), upstream
                )

            return tf.identity(slots), gradient

        self.slots = attached(slots, *tf.nest.flatten(constants))

    def __call__(self, x, slots):
        """The function of a step's x [B, N, ·] in the loop, with the step's part of the slots [B, N, M]."""
        return (
            self._function(x, tf.nest.map_structure(_as, self._types, self._hidden), constant=True)
            + slots
        )

    def _gradient(self, constants, upstream):
        flat, upstream = tf.nest.flatten(constants), _all_steps(upstream)
        with tf.GradientTape() as tape:
            tape.watch([each for each in flat if each.dtype.is_floating])
            y = self._function(
                tf.nest.map_structure(lambda x: tf.stop_gradient(_all_steps(x)), self.inputs),
                constants,
            )
        return tape.gradient(y, flat, upstream)


_INTEGERS = {tf.float32: tf.int32, tf.float16: tf.int16, tf.bfloat16: tf.int16}


def _as(dtype, tensor):
    return tensor if tensor.dtype == dtype else tf.bitcast(tensor, dtype)


def _all_steps(tensor):
    """[B, N, T, ·] as [B, N·T, ·]."""
    batch, n, steps, size = tf.unstack(tf.shape(tensor))
    return tf.ensure_shape(
        tf.reshape(tensor, [batch, n * steps, size]), [None, None, tensor.shape[-1]]
    )


def _time_first(tensor):
    """[B, N, T, ·] as an array of steps: the gradient of reading a step is that step, not zeros for all the others."""
    steps = tf.transpose(tensor, [2, 0, 1, *range(3, tensor.shape.rank)])
    array = tf.TensorArray(
        tensor.dtype, tf.shape(steps)[0], clear_after_read=False, element_shape=steps.shape[1:]
    )
    return array.unstack(steps)


def _batch_first(array):
    stacked = array.stack()  # [T, B, N, ·]
    return tf.transpose(stacked, [1, 2, 0, *range(3, stacked.shape.rank)])
