"""Areas of Attention: a joint distribution over words and the image regions they come from."""

import functools

import keras
import tensorflow as tf

from keras_sat import layers
from keras_sat.layers.noise import SILENCE
from keras_sat.models.captioner import Captioner
from keras_sat.text.ids import PAD, START, shift_right


@keras.saving.register_keras_serializable(package="keras_sat")
class AreasCaptioner(Captioner):
    """A GRU that predicts p(w, r|h_t), a joint distribution over words w and regions r.

    A step computes h_t = GRU(h_{t−1}, [Wᵀy_{t−1} ; v_{t−1}]), then p(w, r|h_t). The attention that
    it returns is p(r|h_t). The GRU's second input v_t = Σ_r p(r|·) R_r pools the regions: by
    p(r|h_t), by p(r|y_t, h_t), or not at all (`config.feedback`). v_0 = 0.

    The state is a dictionary: "hidden" [B, N, H], and with feedback "pooled" [B, N, D] or
    "region_scores" [B, N, L].

    Args:
        config: a `keras_sat.config.Areas`.
        vocabulary_size: see `Captioner`.
        input_shapes: see `Captioner`.
        **kwargs: see `Captioner`.

    Reference: Pedersoli et al. 2017, "Areas of attention for image captioning".
    """

    def __init__(self, config, vocabulary_size, input_shapes, **kwargs):
        super().__init__(config, vocabulary_size, input_shapes, **kwargs)
        self.areas = _areas_layer(config)
        self.embedding = layers.WordEmbedding(vocabulary_size, config.embedding_size)
        self.embedding.build(None)  # `encode` reads its table before a word is embedded
        self.initial_hidden = keras.layers.Dense(config.state_size, name="initial_hidden")
        self.gru = layers.GRU(config.state_size)
        self.interaction = layers.Interaction(
            config.embedding_size, self.region_size, config.word_region, config.region_state
        )

    def slow_weights(self):
        slow = super().slow_weights()
        if isinstance(self.areas, layers.SpatialTransformer):
            slow.append((self.areas.trainable_variables, self.config.transformer_rate))
        return slow

    def encode(self, inputs, noise=SILENCE):
        annotations = super().encode(inputs, noise)
        regions = annotations["regions"] * self.config.region_scale
        regions = noise.dropout("regions", regions, self.config.feature_dropout)
        table = tf.cast(self.embedding.table, self.compute_dtype)
        return annotations | self.interaction.prepare(table, regions, annotations["present"])

    def initial_state(self, annotations, n):
        hidden = self.initial_hidden(annotations["summary"])
        state = {"hidden": tf.repeat(hidden[:, None], n, axis=1)}  # [B, N, H]
        if self.config.feedback == "marginal":
            zero = tf.zeros_like(annotations["regions"][:, :1])
            state["pooled"] = tf.repeat(zero, n, axis=1)  # [B, N, D]
        if self.config.feedback == "conditional":
            zero = tf.zeros_like(annotations["absent"])[:, None]
            state["region_scores"] = tf.repeat(zero, n, axis=1)  # [B, N, L]
        return state

    def step(self, tokens, state, annotations):
        words = self.gru.project(self.embedding(tokens))
        inputs = {"words": words, **self._chosen_words(tokens, annotations)}
        read, state = self._recur(inputs, state, annotations)
        log_probs, attention = self._distributions(read, annotations)
        return log_probs, attention, state

    def unroll(self, annotations, captions, noise=SILENCE):
        tokens = shift_right(captions)
        words = noise.dropout("words", self.embedding(tokens), self.config.embedding_dropout)
        steps = {"words": self.gru.project(words), **self._chosen_words(tokens, annotations)}
        if self.config.state_dropout and noise.draws:
            # Drawn before the loop, since words and regions must read the same state.
            shape = [*tf.unstack(tf.shape(tokens)), self.config.state_size]
            ones = tf.ones(shape, self.compute_dtype)
            steps["kept"] = noise.dropout("state", ones, self.config.state_dropout)  # [B, N, T, H]
        batch, n, time = tf.unstack(tf.shape(tokens))
        state = self.initial_state(annotations, n)
        constants = None
        if self.config.feedback == "marginal":
            shape = [batch, n, time, tf.shape(annotations["regions"])[1]]
            constants = self.interaction.loop_constants(annotations, shape)
        if constants:
            steps["addends"] = constants.addends
        read = layers.scan(
            lambda inputs, state: self._recur(inputs, state, annotations, constants),
            steps,
            state,
            captions != PAD,
        )
        if constants:
            constants.inputs = read["a"]

        def steps_as_hypotheses(tensor):
            return tf.reshape(tensor, [batch, n * time, tf.shape(tensor)[-1]])

        def hypotheses_as_steps(tensor):
            return tf.reshape(tensor, [batch, n, time, tf.shape(tensor)[-1]])

        read = tf.nest.map_structure(steps_as_hypotheses, read)  # [B, N·T, ·]
        log_probs, attention = self._distributions(read, annotations)
        return hypotheses_as_steps(log_probs), hypotheses_as_steps(attention)

    def _chosen_words(self, tokens, annotations):
        """What the conditional feedback reads of the chosen words [B, N, …]."""
        if self.config.feedback != "conditional":
            return {}
        return {"rows": self.interaction.rows(tokens, annotations), "started": tokens != START}

    def _recur(self, inputs, state, annotations, constants=None):
        """One step of the recurrence.

        Args:
            inputs: the step's part of what `unroll` loops over.
            state: see the class.
            annotations: see `encode`.
            constants: what `Interaction.loop_constants` gives, or None outside a loop.

        Returns:
            (what `_distributions` reads, the next state).
        """
        feedback = self.config.feedback
        pooled = state.get("pooled")
        if feedback == "conditional":
            weights = self.interaction.regions_of_word(inputs["rows"], state["region_scores"])
            weights = tf.where(inputs["started"][..., None], weights, 0.0)
            pooled = self._pool(weights, annotations)
        hidden = self.gru(inputs["words"], pooled, state["hidden"])
        read = {"hidden": hidden * inputs.get("kept", 1)}
        state = {"hidden": hidden}
        if feedback != "none":
            read["b"] = self.interaction.region_scores(read["hidden"], annotations)
        if feedback == "conditional":
            state["region_scores"] = read["b"]
        if feedback == "marginal":
            read["a"] = self.interaction.word_scores(read["hidden"], annotations)
            over_words = None
            if constants:
                over_words = functools.partial(constants, addends=inputs["addends"])
            read["attention"] = self.interaction.regions(
                read["a"], read["b"], annotations, over_words
            )
            state["pooled"] = self._pool(read["attention"], annotations)
        return read, state

    def _pool(self, weights, annotations):
        weights = tf.cast(weights, self.compute_dtype)
        return layers.product(weights, annotations["regions"])  # [B, N, D]

    def _distributions(self, read, annotations):
        """log p(w|h) and p(r|h) of states [B, Q, H].

        Scores that the recurrence has already computed are not computed again.

        Args:
            read: {"hidden": [B, Q, H]}, perhaps with the word scores "a", the region scores "b" and
                "attention".
            annotations: see `encode`.

        Returns:
            (log_probs [B, Q, V], attention [B, Q, L]).
        """
        a = read.get("a")
        if a is None:
            a = self.interaction.word_scores(read["hidden"], annotations)
        b = read.get("b")
        if b is None:
            b = self.interaction.region_scores(read["hidden"], annotations)
        attention = read.get("attention")
        if attention is None:
            attention = self.interaction.regions(a, b, annotations)
        return self.interaction.words(a, b, annotations), attention


def _areas_layer(config):
    if config.areas == "proposals":
        return layers.Proposals(config.train_boxes, config.test_boxes)
    strides = {"train_stride": config.train_stride, "test_stride": config.test_stride}
    if config.areas == "grid":
        return layers.Grid(**strides)
    activation = "relu" if config.filter_layer else "linear"
    return layers.SpatialTransformer(config.localisation_size, config.zoom, activation, **strides)
