"""The CNN+LSTM baseline: Show and Tell (Vinyals et al. 2015), in the form of the Flickr8k report."""

import functools

import keras
import tensorflow as tf

from keras_sat import layers
from keras_sat.layers.noise import SILENCE
from keras_sat.models.captioner import Captioner
from keras_sat.text.ids import PAD, START, shift_right


class ShowAndTellCaptioner(Captioner):
    """The picture's summary, taken to the size of a word vector, is the first token; LSTM layers do the rest.

    So START's vector is the picture. There is no attention; what is returned for it is uniform, as in the summary.

    Args: see `Captioner`; `config` is a `keras_sat.config.ShowAndTell`.
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
        zeros = tf.zeros(
            [tf.shape(annotations["picture"])[0], n, self.config.state_size], self.compute_dtype
        )
        return tuple((zeros, zeros) for _ in self.lstms)

    def step(self, tokens, state, annotations):
        hidden, states = self._embed(tokens, annotations), []
        for lstm, each in zip(self.lstms, state):
            hidden, each = _recur(lstm, lstm.project(hidden), each)
            states.append(each)
        return (
            self.read_out(None, hidden, None),
            self.attend(hidden, annotations["regions"]),
            tuple(states),
        )

    def unroll(self, annotations, captions, noise=SILENCE):
        tokens = shift_right(captions)
        hidden = noise.dropout(
            "words", self._embed(tokens, annotations), self.config.embedding_dropout
        )
        states = self.initial_state(annotations, tf.shape(tokens)[1])
        for index, (lstm, state) in enumerate(zip(self.lstms, states)):
            if index:
                hidden = noise.dropout(f"lstm {index}", hidden, self.config.lstm_dropout)
            kernels = lstm.loop_constants(lstm.project(hidden))
            hidden = layers.scan(
                functools.partial(_recur, lstm, kernels=kernels),
                kernels.addends,
                state,
                captions != PAD,
            )
            kernels.inputs = {"recurrent": layers.before_each(state[0], hidden)}
        log_probs = layers.read_words(self.read_out, captions, None, hidden, None, noise)
        return log_probs, self.attend(hidden, annotations["regions"])

    def _embed(self, tokens, annotations):
        """Word vectors [B, N, ·, E]; START's is the picture's."""
        words = self.embedding(tokens)
        picture = tf.reshape(
            annotations["picture"], [-1, *[1] * (words.shape.rank - 2), words.shape[-1]]
        )
        return tf.where((tokens == START)[..., None], picture, words)


def _recur(lstm, projected, state, kernels=None):
    state = lstm(projected, None, state, kernels)
    return state[0], state
