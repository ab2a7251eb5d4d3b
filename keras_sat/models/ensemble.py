"""Several captioners that write one caption together."""

import math

import tensorflow as tf

from keras_sat.models.captioner import Captioner


class Ensemble:
    """Keeps the captioner's contract: at every step the members' distributions over the next word are averaged.

    What is returned as attention and boxes is the first member's, and so is what it can `explain`.

    Args:
        members: `Captioner`s of one vocabulary. Inputs of one name are the same for all of them.
    """

    def __init__(self, members):
        self.members = tuple(members)
        self.input_shapes = {
            name: shape for member in self.members for name, shape in member.input_shapes.items()
        }

    inputs_of, input_specs = Captioner.inputs_of, Captioner.input_specs

    @property
    def explain(self):
        """The first member's `explain`, or None."""
        return getattr(self.members[0], "explain", None)

    def encode(self, inputs):
        each = tuple(member.encode(inputs) for member in self.members)
        return {"boxes": each[0]["boxes"], "summary": each[0]["summary"], "members": each}

    def initial_state(self, annotations, n):
        return tuple(
            member.initial_state(own, n)
            for member, own in zip(self.members, annotations["members"])
        )

    def step(self, tokens, state, annotations):
        steps = zip(self.members, state, annotations["members"])
        log_probs, attention, state = zip(
            *(member.step(tokens, own, images) for member, own, images in steps)
        )
        return _mean(log_probs), attention[0], state

    def unroll(self, annotations, captions):
        pairs = zip(self.members, annotations["members"])
        log_probs, attention = zip(*(member.unroll(own, captions) for member, own in pairs))
        return _mean(log_probs), attention[0]

    def __call__(self, inputs):
        return self.unroll(self.encode(inputs), inputs["captions"])


def _mean(log_probs):
    """log of the mean of distributions given as log p."""
    return tf.reduce_logsumexp(tf.stack(log_probs), axis=0) - math.log(len(log_probs))
