import tensorflow as tf


class LoopConstants:
    """Large constants of a loop, whose gradient is computed after the loop, for all steps at once.

    TensorFlow would carry a gradient of each constant through all iterations and add to it in each.
    Here the loop sees the constants as integers, which have no gradient. Its steps add `addends` to
    the function's values. The gradient that reaches the addends is the gradient of these values, so
    it is passed on to the constants too, through the values of x that the loop has computed
    (`inputs`, which the caller sets after the loop).

    Args:
        function: (x, constants, constant=False) → [B, Q, M], where x is nested tensors [B, Q, ·].
            With `constant` it need not differentiate with respect to the constants.
        constants: nested tensors.
        addends: [B, N, T, M], what the steps add to the function's values.

    Attributes:
        addends: those to use in the loop.
        inputs: the x of all steps, nested tensors [B, N, T, ·]; to be set after the loop.

    Example:
        constants = LoopConstants(function, matrices, tf.zeros([batch, n, steps, size]))
        # In a step: y = constants(x, addends)
        outputs = scan(step, {"addends": constants.addends, …}, state, needed)
        constants.inputs = outputs["x"]                                 # [B, N, T, ·]
    """

    def __init__(self, function, constants, addends):
        self._function = function
        self._hidden = tf.nest.map_structure(_as_integers, constants)
        self._types = tf.nest.map_structure(lambda constant: constant.dtype, constants)
        self.inputs = None

        @tf.custom_gradient
        def attached(addends, *flat):
            def gradient(upstream):
                given = tf.nest.pack_sequence_as(constants, flat)
                return upstream, *self._gradient(given, upstream)

            return tf.identity(addends), gradient

        self.addends = attached(addends, *tf.nest.flatten(constants))

    def __call__(self, x, addends):
        """The function's value in a step of the loop, plus the step's addends.

        Args:
            x: nested tensors [B, N, ·].
            addends: [B, N, M], the step's part of `self.addends`.
        """
        constants = tf.nest.map_structure(_as_type, self._types, self._hidden)
        return self._function(x, constants, constant=True) + addends

    def _gradient(self, constants, upstream):
        """The gradients of all constants, flat, by that of all steps' values [B, N, T, M]."""
        flat = tf.nest.flatten(constants)
        upstream = _all_steps(upstream)
        with tf.GradientTape() as tape:
            tape.watch([each for each in flat if each.dtype.is_floating])
            inputs = tf.nest.map_structure(lambda x: tf.stop_gradient(_all_steps(x)), self.inputs)
            values = self._function(inputs, constants)
        return tape.gradient(values, flat, upstream)


_INTEGERS = {tf.float32: tf.int32, tf.float16: tf.int16, tf.bfloat16: tf.int16}


def _as_integers(tensor):
    """The bits of a floating-point tensor as integers; other tensors as they are."""
    return _as_type(_INTEGERS.get(tensor.dtype, tensor.dtype), tensor)


def _as_type(dtype, tensor):
    """The bits of a tensor as those of another type."""
    return tensor if tensor.dtype == dtype else tf.bitcast(tensor, dtype)


def _all_steps(tensor):
    """[B, N, T, ·] as [B, N·T, ·]."""
    batch, n, steps, size = tf.unstack(tf.shape(tensor))
    return tf.ensure_shape(
        tf.reshape(tensor, [batch, n * steps, size]), [None, None, tensor.shape[-1]]
    )
