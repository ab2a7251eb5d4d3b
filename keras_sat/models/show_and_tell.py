"""Show and Tell, the CNN+LSTM baseline, in the form of the Flickr8k report."""

import functools

import keras
import tensorflow as tf

from keras_sat import layers
from keras_sat.layers.noise import SILENCE
from keras_sat.models.captioner import Captioner
from keras_sat.text.ids import PAD, START, shift_right


@keras.saving.register_keras_serializable(package="keras_sat")
class ShowAndTellCaptioner(Captioner):
    """The picture's summary, projected to the size of a word vector, is an LSTM's first input.

    It is used as the embedding of START. There is no attention: the one returned is uniform, as in
    the summary.

    The state is a tuple of (h, c), one per LSTM layer.

    Args:
        config: a `keras_sat.config.ShowAndTell`.
        vocabulary_size: see `Captioner`.
        input_shapes: see `Captioner`.
        **kwargs: see `Captioner`.

    Reference: Vinyals et al. 2015, "Show and tell: a neural image caption generator".
    """

    def __init__(self, config, vocabulary_size, input_shapes, **kwargs):
        super().__init__(config, vocabulary_size, input_shapes, **kwargs)
        self.embedding = layers.WordEmbedding(vocabulary_size, config.embedding_size)
        self.picture = keras.layers.Dense(config.embedding_size, name="picture")
        self.lstms = [
            layers.LSTM(config.state_size, name=f"lstm_{i}") for i in range(config.lstm_layers)
        ]
        self.attend = layers.UniformAttention()
        self.read_out = layers.LinearOutput(vocabulary_size, config.state_dropout)

    def encode(self, inputs, noise=SILENCE):
        annotations = super().encode(inputs, noise)
        summary = noise.dropout("summary", annotations["summary"], self.config.feature_dropout)
        return annotations | {"picture": self.picture(summary)}

    def initial_state(self, annotations, n):
        batch = tf.shape(annotations["picture"])[0]
        zeros = tf.zeros([batch, n, self.config.state_size], self.compute_dtype)
        return tuple((zeros, zeros) for _ in self.lstms)

    def step(self, tokens, state, annotations):
        hidden = self._embed(tokens, annotations)
        states = []
        for lstm, layer_state in zip(self.lstms, state):
            hidden, layer_state = _recur(lstm, lstm.project(hidden), layer_state)
            states.append(layer_state)
        log_probs = self.read_out(None, hidden, None)
        attention = self.attend(hidden, annotations["regions"])
        return log_probs, attention, tuple(states)

    def unroll(self, annotations, captions, noise=SILENCE):
        tokens = shift_right(captions)
        hidden = self._embed(tokens, annotations)
        hidden = noise.dropout("words", hidden, self.config.embedding_dropout)
        states = self.initial_state(annotations, tf.shape(tokens)[1])
        for index, (lstm, state) in enumerate(zip(self.lstms, states)):
            if index > 0:
                hidden = noise.dropout(f"lstm {index}", hidden, self.config.lstm_dropout)
            kernels = lstm.loop_constants(lstm.project(hidden))
            step = functools.partial(_recur, lstm, kernels=kernels)
            hidden = layers.scan(step, kernels.addends, state, captions != PAD)
            kernels.inputs = {"recurrent": layers.before_each(state[0], hidden)}
        log_probs = layers.read_words(self.read_out, captions, None, hidden, None, noise)
        return log_probs, self.attend(hidden, annotations["regions"])

    def _embed(self, tokens, annotations):
        """Word vectors [B, N, ·, E]; that of START is the picture's."""
        words = self.embedding(tokens)
        ones = [1] * (words.shape.rank - 2)
        picture = tf.reshape(annotations["picture"], [-1, *ones, words.shape[-1]])
        return tf.where((tokens == START)[..., None], picture, words)


def _recur(lstm, projected, state, kernels=None):
    state = lstm(projected, None, state, kernels)
    hidden, _ = state
    return hidden, state
