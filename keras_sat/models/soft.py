"""Show, Attend and Tell with soft attention (Xu et al. 2015), and the variants of it that were published."""

import keras
import tensorflow as tf

from keras_sat import layers
from keras_sat.layers.noise import SILENCE
from keras_sat.models.captioner import Captioner
from keras_sat.models.losses import doubly_stochastic_penalty
from keras_sat.text.ids import PAD, shift_right


class SoftCaptioner(Captioner):
    """At each step an expected context ẑ_t = Σ_i α_ti a_i, gated by β_t, feeds an LSTM.

    Args: see `Captioner`; `config` is a `keras_sat.config.Soft`.
    """

    def __init__(self, config, vocabulary_size, input_shapes, **kwargs):
        super().__init__(config, vocabulary_size, input_shapes, **kwargs)
        paper = config.initializer == "gaussian"
        kernel = layers.PAPER if paper else "glorot_uniform"
        self.embedding = layers.WordEmbedding(
            vocabulary_size, config.embedding_size, kernel if paper else "uniform"
        )
        if config.attention == "additive":
            self.attend = layers.AdditiveAttention(
                config.attention_size, config.attention_layers, config.attention_activation, kernel
            )
        else:
            self.attend = layers.UniformAttention()
        self.initial_hidden, self.initial_cell = (
            self._initial_network(kernel, name) for name in ("hidden", "cell")
        )
        gate_size = {"none": 0, "scalar": 1, "vector": self.region_size}[config.gate]
        self.gate = gate_size and keras.layers.Dense(
            gate_size, "sigmoid", kernel_initializer=kernel, name="gate"
        )
        self.lstm = layers.LSTM(
            config.state_size,
            context_size=self.region_size,
            unit_forget_bias=not paper,
            kernel_initializer=layers.PAPER_GATES if paper else "glorot_uniform",
            recurrent_initializer=layers.PAPER_GATES if paper else "orthogonal",
        )
        if config.output == "deep":
            self.read_out = layers.DeepOutput(
                vocabulary_size,
                config.output_dropout,
                state_dropout=config.state_dropout,
                kernel_initializer=kernel,
            )
        else:
            self.read_out = layers.LinearOutput(vocabulary_size, config.state_dropout, kernel)

    def _initial_network(self, kernel, name):
        """f(MLP(mean_i a_i)); its hidden layers are ReLU and as wide as a region, as in the authors' code."""
        hidden = [(self.region_size, "relu")] * (self.config.initial_layers - 1)
        return keras.Sequential(
            [
                keras.layers.Dense(units, activation, kernel_initializer=kernel)
                for units, activation in [
                    *hidden,
                    (self.config.state_size, self.config.initial_activation),
                ]
            ],
            name=f"initial_{name}",
        )

    def encode(self, inputs, noise=SILENCE):
        annotations = super().encode(inputs, noise)
        annotations["regions"] = noise.dropout(
            "regions", annotations["regions"], self.config.feature_dropout
        )
        annotations["keys"] = self.attend.keys(annotations["regions"])
        return annotations

    def initial_state(self, annotations, n):
        summary = annotations["summary"]
        return tuple(
            tf.repeat(network(summary)[:, None], n, axis=1)
            for network in (self.initial_hidden, self.initial_cell)
        )

    def step(self, tokens, state, annotations):
        words = self.embedding(tokens)
        inputs = {"words": self.lstm.project(words)}
        (hidden, context, attention), state = self._recur(inputs, state, annotations)
        return self.read_out(words, hidden, context), attention, state

    def unroll(self, annotations, captions, noise=SILENCE):
        words = noise.dropout(
            "words", self.embedding(shift_right(captions)), self.config.embedding_dropout
        )
        kernels = self.lstm.loop_constants(self.lstm.project(words))
        state = self.initial_state(annotations, tf.shape(captions)[1])
        hidden, context, attention = layers.scan(
            lambda step, state: self._recur(step, state, annotations, kernels),
            {"words": kernels.addends, **self._draws(captions, noise)},
            state,
            captions != PAD,
        )
        kernels.inputs = {"recurrent": layers.before_each(state[0], hidden), "context": context}
        return layers.read_words(self.read_out, captions, words, hidden, context, noise), attention

    def _recur(self, inputs, state, annotations, kernels=None):
        """One step of the recurrence: attend with h_{t−1}, update the LSTM."""
        hidden, cell, *more = state
        attention = self.attend(hidden, annotations["keys"])  # [B, N, L]
        weights, more = self._look(attention, inputs, more)
        context = layers.product(
            tf.cast(weights, self.compute_dtype), annotations["regions"]
        )  # [B, N, D]
        if self.gate:
            context *= self.gate(hidden)
        hidden, cell = self.lstm(inputs["words"], context, (hidden, cell), kernels)
        return (hidden, context, attention), (hidden, cell, *more)

    def explain(self, inputs):
        """Further facts of each word of captions [B, N, T]: {"gate": β_t [B, N, T], the mean of a gate that is a vector}."""
        if not self.gate:
            return {}
        annotations, gates = self.encode(inputs), []
        state = self.initial_state(annotations, tf.shape(inputs["captions"])[1])
        for tokens in tf.unstack(shift_right(inputs["captions"]), axis=-1):
            gates.append(
                tf.reduce_mean(tf.cast(self.gate(state[0]), tf.float32), axis=-1)
            )  # β_t reads h_{t−1}
            _, _, state = self.step(tokens, state, annotations)
        return {"gate": tf.stack(gates, axis=-1)}

    # What hard attention does otherwise

    def _draws(self, captions, noise):
        """Inputs of every step, [B, N, T, …], that `_look` needs."""
        return {}

    def _look(self, attention, inputs, more):
        """The weights [B, N, L] with which regions enter the context, and what the state holds beside (h, c)."""
        return attention, more

    meter_names = (*Captioner.meter_names, "penalty")

    def losses_of(self, inputs, captions_in_batch, noise=SILENCE):
        terms, (log_probs, attention) = super().losses_of(inputs, captions_in_batch, noise)
        penalty = doubly_stochastic_penalty(attention, inputs["captions"], self.config.penalty)
        divisor = 1.0 if self.config.penalty == "arctic" else captions_in_batch
        terms["penalty"] = self.config.penalty_weight * penalty / divisor
        return terms, (log_probs, attention)
