import tensorflow as tf


def scan(step, inputs, state, needed):
    """Runs a recurrence over time as one loop in the graph.

    Args:
        step: (inputs [B, N, ·], state) → (outputs, state); all of them are nested tensors.
        inputs: nested tensors [B, N, T, ·], T ≥ 1.
        state: the state before the first step, nested tensors [B, N, ·].
        needed: bool [B, N, T], the steps whose outputs matter: the first ones of each sequence.
            Sequences at the end of N are left out once no image needs them any more, so the longest
            should come first.

    Returns:
        The outputs of all steps, nested tensors [B, N, T, ·]; zero where a sequence was left out.

    Example: a running sum of two sequences, of which the second ends after one step.

        >>> needed = tf.constant([[[True, True, True], [True, False, False]]])
        >>> outputs = scan(
        ...     lambda x, total: (total + x, total + x), tf.ones([1, 2, 3, 1]),
        ...     tf.zeros([1, 2, 1]), needed)
        >>> outputs[..., 0].numpy().tolist()
        [[[1.0, 2.0, 3.0], [1.0, 0.0, 0.0]]]
    """
    count, steps = tf.unstack(tf.shape(needed))[1:]
    numbers = tf.range(1, count + 1)[:, None]
    # How many sequences, from the first one on, still run at each step; at least one.
    running = tf.reduce_max(tf.where(needed, numbers, 1), axis=[0, 1])  # [T]
    inputs = tf.nest.map_structure(_time_first, inputs)

    def inputs_at(t):
        return tf.nest.map_structure(lambda array: array.read(t), inputs)

    # The first step is outside the loop: it shows the outputs' types and shapes.
    first = step(inputs_at(0), state)
    outputs, state = first
    arrays = tf.nest.map_structure(
        lambda o: tf.TensorArray(o.dtype, steps, element_shape=o.shape).write(0, o), outputs
    )

    def filled(tensor, like):
        """Zeros in place of the sequences that were left out."""
        missing = count - tf.shape(tensor)[1]
        other_axes = [[0, 0]] * (tensor.shape.rank - 2)
        tensor = tf.pad(tensor, [[0, 0], [0, missing], *other_axes])
        return tf.ensure_shape(tensor, like.shape)

    def body(t, state, arrays):
        def of_running(tensor):
            return tensor[:, : running[t]]

        def write(array, output):
            return array.write(t, output)

        step_inputs, state = tf.nest.map_structure(of_running, (inputs_at(t), state))
        outputs, state = tf.nest.map_structure(filled, step(step_inputs, state), first)
        return t + 1, state, tf.nest.map_structure(write, arrays, outputs)

    _, _, arrays = tf.while_loop(
        lambda t, *_: t < steps, body, (1, state, arrays), maximum_iterations=steps
    )
    return tf.nest.map_structure(_batch_first, arrays)


def before_each(state, states):
    """The state before each step, [B, N, T, ·].

    Args:
        state: the state before the first step, [B, N, ·].
        states: the states after each step, [B, N, T, ·].
    """
    return tf.concat([state[:, :, None], states[:, :, :-1]], axis=2)


def _time_first(tensor):
    """[B, N, T, ·] as a TensorArray of T steps.

    The gradient of reading a step is then that step alone, without zeros for all other steps.
    """
    steps = tf.transpose(tensor, [2, 0, 1, *range(3, tensor.shape.rank)])  # [T, B, N, ·]
    array = tf.TensorArray(
        tensor.dtype, tf.shape(steps)[0], clear_after_read=False, element_shape=steps.shape[1:]
    )
    return array.unstack(steps)


def _batch_first(array):
    """A TensorArray of T steps as [B, N, T, ·]."""
    stacked = array.stack()  # [T, B, N, ·]
    return tf.transpose(stacked, [1, 2, 0, *range(3, stacked.shape.rank)])
