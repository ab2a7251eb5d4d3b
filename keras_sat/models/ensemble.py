"""Several captioners that write one caption together."""

import math

import tensorflow as tf

from keras_sat.models.captioner import Captioner


class Ensemble:
    """Averages its members' distributions over the next word at every step.

    It keeps the captioner's contract. Attention, boxes and `explain` are the first member's.

    Args:
        members: `Captioner`s of one vocabulary. Inputs of the same name are the same for all of
            them.
    """

    def __init__(self, members):
        self.members = tuple(members)
        self.input_shapes = {}
        for member in self.members:
            self.input_shapes |= member.input_shapes

    inputs_of = Captioner.inputs_of
    input_specs = Captioner.input_specs

    @property
    def explain(self):
        """The first member's `explain`, or None."""
        return getattr(self.members[0], "explain", None)

    def encode(self, inputs):
        members = tuple(member.encode(inputs) for member in self.members)
        return {
            "boxes": members[0]["boxes"],
            "summary": members[0]["summary"],
            "members": members,
        }

    def initial_state(self, annotations, n):
        pairs = zip(self.members, annotations["members"])
        return tuple(member.initial_state(own, n) for member, own in pairs)

    def step(self, tokens, state, annotations):
        log_probs = []
        attention = []
        states = []
        for member, own_state, own in zip(self.members, state, annotations["members"]):
            member_log_probs, member_attention, member_state = member.step(tokens, own_state, own)
            log_probs.append(member_log_probs)
            attention.append(member_attention)
            states.append(member_state)
        return _mean(log_probs), attention[0], tuple(states)

    def unroll(self, annotations, captions):
        pairs = zip(self.members, annotations["members"])
        log_probs, attention = zip(*(member.unroll(own, captions) for member, own in pairs))
        return _mean(log_probs), attention[0]

    def __call__(self, inputs):
        return self.unroll(self.encode(inputs), inputs["captions"])


def _mean(log_probs):
    """The log of the mean of distributions that are given as log p."""
    return tf.reduce_logsumexp(tf.stack(log_probs), axis=0) - math.log(len(log_probs))
