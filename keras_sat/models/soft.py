"""Show, Attend and Tell with soft attention (Xu et al. 2015), and its published variants."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_sat import layers
from keras_sat.layers.noise import SILENCE
from keras_sat.models.captioner import Captioner
from keras_sat.models.losses import doubly_stochastic_penalty
from keras_sat.text.ids import PAD, shift_right


class AttendState(NamedTuple):
    """The state of a captioner with an LSTM and attention.

    Attributes:
        hidden: h, [B, N, H].
        cell: c, [B, N, H].
        sampling: what the choice of a context carries from step to step, nested tensors.
    """

    hidden: tf.Tensor
    cell: tf.Tensor
    sampling: Any = ()


@keras.saving.register_keras_serializable(package="keras_sat")
class SoftCaptioner(Captioner):
    """At each step an expected context ẑ_t = Σ_i α_ti a_i, gated by β_t, feeds an LSTM.

    Args:
        config: a `keras_sat.config.Soft`.
        vocabulary_size: see `Captioner`.
        input_shapes: see `Captioner`.
        **kwargs: see `Captioner`.

    Reference: Xu et al. 2015, "Show, attend and tell".
    """

    extra_meters = ("penalty",)

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
        self.initial_hidden = self._initial_network(kernel, "hidden")
        self.initial_cell = self._initial_network(kernel, "cell")
        self.gate = None
        if config.gate != "none":
            size = 1 if config.gate == "scalar" else self.region_size
            self.gate = keras.layers.Dense(size, "sigmoid", kernel_initializer=kernel, name="gate")
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
        """f(MLP(mean_i a_i)), from the mean annotation to the initial h or c.

        Its hidden layers are ReLU and as wide as a region, as in the authors' code.
        """
        network = keras.Sequential(name=f"initial_{name}")
        for _ in range(self.config.initial_layers - 1):
            network.add(keras.layers.Dense(self.region_size, "relu", kernel_initializer=kernel))
        network.add(
            keras.layers.Dense(
                self.config.state_size, self.config.initial_activation, kernel_initializer=kernel
            )
        )
        return network

    def encode(self, inputs, noise=SILENCE):
        annotations = super().encode(inputs, noise)
        rate = self.config.feature_dropout
        annotations["regions"] = noise.dropout("regions", annotations["regions"], rate)
        annotations["keys"] = self.attend.keys(annotations["regions"])
        return annotations

    def initial_state(self, annotations, n):
        hidden = self.initial_hidden(annotations["summary"])[:, None]  # [B, 1, H]
        cell = self.initial_cell(annotations["summary"])[:, None]
        return AttendState(tf.repeat(hidden, n, axis=1), tf.repeat(cell, n, axis=1))

    def step(self, tokens, state, annotations):
        words = self.embedding(tokens)
        inputs = {"words": self.lstm.project(words)}
        (hidden, context, attention), state = self._recur(inputs, state, annotations)
        return self.read_out(words, hidden, context), attention, state

    def unroll(self, annotations, captions, noise=SILENCE):
        words = self.embedding(shift_right(captions))
        words = noise.dropout("words", words, self.config.embedding_dropout)
        kernels = self.lstm.loop_constants(self.lstm.project(words))
        state = self.initial_state(annotations, tf.shape(captions)[1])
        hidden, context, attention = layers.scan(
            lambda inputs, state: self._recur(inputs, state, annotations, kernels),
            {"words": kernels.addends, **self._training_draws(captions, noise)},
            state,
            captions != PAD,
        )
        # After the loop: the kernels' gradient is one product over all steps, see LoopConstants.
        recurrent = layers.before_each(state.hidden, hidden)
        kernels.inputs = {"recurrent": recurrent, "context": context}
        log_probs = layers.read_words(self.read_out, captions, words, hidden, context, noise)
        return log_probs, attention

    def _recur(self, inputs, state, annotations, kernels=None):
        """One step of the recurrence: attend with h_{t−1}, choose the context, update the LSTM."""
        attention = self.attend(state.hidden, annotations["keys"])  # [B, N, L]
        weights, sampling = self._choose_context(attention, inputs, state.sampling)
        weights = tf.cast(weights, self.compute_dtype)
        context = layers.product(weights, annotations["regions"])  # [B, N, D]
        if self.gate is not None:
            context *= self.gate(state.hidden)
        hidden, cell = self.lstm(inputs["words"], context, (state.hidden, state.cell), kernels)
        return (hidden, context, attention), AttendState(hidden, cell, sampling)

    def explain(self, inputs):
        """Further facts about each word of captions [B, N, T].

        Args:
            inputs: the model's inputs with "captions", see `Captioner`.

        Returns:
            {"gate": β_t [B, N, T]}, the mean over a gate that is a vector; empty without a gate.
        """
        if self.gate is None:
            return {}
        annotations = self.encode(inputs)
        state = self.initial_state(annotations, tf.shape(inputs["captions"])[1])
        gates = []
        for tokens in tf.unstack(shift_right(inputs["captions"]), axis=-1):
            gate = tf.cast(self.gate(state.hidden), tf.float32)  # β_t reads h_{t−1}
            gates.append(tf.reduce_mean(gate, axis=-1))  # [B, N]
            _, _, state = self.step(tokens, state, annotations)
        return {"gate": tf.stack(gates, axis=-1)}

    def loss_terms(self, inputs, captions_in_batch, noise=SILENCE):
        terms, (log_probs, attention) = super().loss_terms(inputs, captions_in_batch, noise)
        penalty = doubly_stochastic_penalty(attention, inputs["captions"], self.config.penalty)
        divisor = 1.0 if self.config.penalty == "arctic" else captions_in_batch
        terms["penalty"] = self.config.penalty_weight * penalty / divisor
        return terms, (log_probs, attention)

    # What hard attention does differently

    def _training_draws(self, captions, noise):
        """The random inputs of every step that `_choose_context` reads in training.

        Returns:
            {name: [B, N, T, …]}.
        """
        return {}

    def _choose_context(self, attention, inputs, sampling):
        """The weights with which the regions enter the context.

        Args:
            attention: α_t, [B, N, L].
            inputs: the step's part of what `unroll` loops over.
            sampling: see `AttendState`.

        Returns:
            (weights [B, N, L], the next `sampling`).
        """
        return attention, sampling
