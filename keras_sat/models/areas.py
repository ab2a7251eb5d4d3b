"""Areas of Attention (Pedersoli et al. 2017): words and the regions they come from, in one joint distribution."""

import functools

import keras
import tensorflow as tf

from keras_sat import layers
from keras_sat.layers.noise import SILENCE
from keras_sat.models.captioner import Captioner
from keras_sat.text.ids import PAD, START, shift_right


class AreasCaptioner(Captioner):
    """A step is h_t = GRU(h_{t−1}, [Wᵀy_{t−1} ; v_{t−1}]), then p(w, r|h_t) is read; the attention returned is p(r|h_t).

    v_t = Σ_r p(r|·) R_r pools the regions: by p(r|h_t), by p(r|y_t, h_t), or not at all (`config.feedback`). v_0 = 0.

    Args: see `Captioner`; `config` is a `keras_sat.config.Areas`.
    """

    def __init__(self, config, vocabulary_size, input_shapes, **kwargs):
        super().__init__(config, vocabulary_size, input_shapes, **kwargs)
        strides = {"train_stride": config.train_stride, "test_stride": config.test_stride}
        if config.areas == "grid":
            self.areas = layers.Grid(**strides)
        elif config.areas == "proposals":
            self.areas = layers.Proposals(config.train_boxes, config.test_boxes)
        else:
            activation = "relu" if config.filter_layer else "linear"
            self.areas = layers.SpatialTransformer(
                config.localisation_size, config.zoom, activation, **strides
            )
        self.embedding = layers.WordEmbedding(vocabulary_size, config.embedding_size)
        self.embedding.build(None)  # `encode` reads its table before a word is embedded
        self.initial_hidden = keras.layers.Dense(config.state_size, name="initial_hidden")
        self.gru = layers.GRU(config.state_size)
        self.interaction = layers.Interaction(
            config.embedding_size, self.region_size, config.word_region, config.region_state
        )

    def slow_weights(self):
        moving = isinstance(self.areas, layers.SpatialTransformer)
        return (
            super().slow_weights()
            + [(self.areas.trainable_variables, self.config.transformer_rate)] * moving
        )

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
            state["pooled"] = tf.repeat(
                tf.zeros_like(annotations["regions"][:, :1]), n, axis=1
            )  # [B, N, D]
        if self.config.feedback == "conditional":
            state["region_scores"] = tf.repeat(
                tf.zeros_like(annotations["absent"])[:, None], n, axis=1
            )  # [B, N, L]
        return state

    def step(self, tokens, state, annotations):
        inputs = {
            "words": self.gru.project(self.embedding(tokens)),
            **self._of_words(tokens, annotations),
        }
        read, state = self._recur(inputs, state, annotations)
        return *self._distributions(read, annotations), state

    def unroll(self, annotations, captions, noise=SILENCE):
        tokens = shift_right(captions)
        words = noise.dropout("words", self.embedding(tokens), self.config.embedding_dropout)
        steps = {"words": self.gru.project(words), **self._of_words(tokens, annotations)}
        if self.config.state_dropout and noise.draws:
            # In front of the loop, since words and regions must read the same state.
            ones = tf.ones(
                [*tf.unstack(tf.shape(tokens)), self.config.state_size], self.compute_dtype
            )
            steps["kept"] = noise.dropout("state", ones, self.config.state_dropout)  # [B, N, T, H]
        batch, n, time = tf.unstack(tf.shape(tokens))
        state = self.initial_state(annotations, n)
        constants = None
        if self.config.feedback == "marginal":
            shape = [batch, n, time, tf.shape(annotations["regions"])[1]]
            constants = self.interaction.loop_constants(annotations, shape)
        if constants:
            steps["slots"] = constants.addends
        read = layers.scan(
            lambda step, state: self._recur(step, state, annotations, constants),
            steps,
            state,
            captions != PAD,
        )
        if constants:
            constants.inputs = read["a"]
        read = tf.nest.map_structure(
            lambda r: tf.reshape(r, [batch, n * time, tf.shape(r)[-1]]), read
        )
        outputs = self._distributions(read, annotations)
        return tuple(tf.reshape(each, [batch, n, time, tf.shape(each)[-1]]) for each in outputs)

    def _of_words(self, tokens, annotations):
        """What the conditional feedback needs of the words [B, N, …] that were chosen."""
        if self.config.feedback != "conditional":
            return {}
        return {"rows": self.interaction.rows(tokens, annotations), "started": tokens != START}

    def _recur(self, inputs, state, annotations, constants=None):
        """One step of the recurrence; returns what `_distributions` reads, and the state."""
        pooled = state.get("pooled")
        if self.config.feedback == "conditional":
            weights = self.interaction.regions_of_word(inputs["rows"], state["region_scores"])
            pooled = self._pool(tf.where(inputs["started"][..., None], weights, 0.0), annotations)
        hidden = self.gru(inputs["words"], pooled, state["hidden"])
        read = {"hidden": hidden * inputs.get("kept", 1)}
        state = {"hidden": hidden}
        if self.config.feedback != "none":
            read["b"] = self.interaction.region_scores(read["hidden"], annotations)
        if self.config.feedback == "conditional":
            state["region_scores"] = read["b"]
        if self.config.feedback == "marginal":
            read["a"] = self.interaction.word_scores(read["hidden"], annotations)
            over_words = (
                functools.partial(constants, addends=inputs["slots"]) if constants else None
            )
            read["attention"] = self.interaction.regions(
                read["a"], read["b"], annotations, over_words
            )
            state["pooled"] = self._pool(read["attention"], annotations)
        return read, state

    def _pool(self, weights, annotations):
        return layers.product(
            tf.cast(weights, self.compute_dtype), annotations["regions"]
        )  # [B, N, D]

    def _distributions(self, read, annotations):
        """log p(w|h) and p(r|h) of states [B, Q, H], as far as the recurrence has not computed them."""
        interaction, hidden = self.interaction, read["hidden"]
        a = read["a"] if "a" in read else interaction.word_scores(hidden, annotations)
        b = read["b"] if "b" in read else interaction.region_scores(hidden, annotations)
        attention = (
            read["attention"] if "attention" in read else interaction.regions(a, b, annotations)
        )
        return interaction.words(a, b, annotations), attention
