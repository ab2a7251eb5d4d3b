"""A Transformer captioner, with the meshed-memory form as an option."""

from typing import NamedTuple

import keras
import tensorflow as tf

from keras_sat import layers
from keras_sat.layers.noise import SILENCE
from keras_sat.models.captioner import Captioner
from keras_sat.text.ids import shift_right


class TransformerState(NamedTuple):
    """The words so far, as the decoder's layers see them.

    Attributes:
        position: int32 [B, N], how many there are.
        caches: per layer (keys, values), each [B, N, heads, positions, width / heads].
    """

    position: tf.Tensor
    caches: tuple


@keras.saving.register_keras_serializable(package="keras_sat")
class TransformerCaptioner(Captioner):
    """Regions attend to each other, words attend to earlier words and to the regions.

    The regions' keys and values are computed once per image. Decoding keeps those of earlier words
    in a cache of fixed size, so that T steps cost what one pass over T words costs.

    Args:
        config: a `keras_sat.config.Transformer`.
        vocabulary_size: see `Captioner`.
        input_shapes: see `Captioner`.
        **kwargs: see `Captioner`.

    Reference: Vaswani et al. 2017, "Attention is all you need"; Herdade et al. 2019 (geometry);
    Cornia et al. 2020 (memory vectors, meshed).
    """

    def __init__(self, config, vocabulary_size, input_shapes, **kwargs):
        super().__init__(config, vocabulary_size, input_shapes, **kwargs)
        width = config.width
        self.project = keras.layers.Dense(width, "relu", name="project")
        self.embedding = layers.WordEmbedding(
            vocabulary_size, width, keras.initializers.RandomNormal(stddev=width**-0.5)
        )
        self.positions = layers.WordPositions(config.positions, width, config.position_vectors)
        self.encoder_blocks = []
        for index in range(config.encoder_layers):
            block = layers.EncoderBlock(
                width,
                config.heads,
                config.hidden_size,
                norm=config.norm,
                geometry=config.geometry,
                memory_vectors=config.memory_vectors,
                dropout=config.dropout,
                name=f"encoder_{index}",
            )
            self.encoder_blocks.append(block)
        self.decoder_blocks = []
        for index in range(config.decoder_layers):
            block = layers.DecoderBlock(
                width,
                config.heads,
                config.hidden_size,
                norm=config.norm,
                levels=config.encoder_layers if config.meshed else 1,
                dropout=config.dropout,
                name=f"decoder_{index}",
            )
            self.decoder_blocks.append(block)
        # Pre-norm leaves the last sum without a norm.
        self.norm_regions = None
        self.norm_words = None
        if config.norm == "pre":
            self.norm_regions = keras.layers.LayerNormalization(epsilon=1e-6, name="norm_regions")
            self.norm_words = keras.layers.LayerNormalization(epsilon=1e-6, name="norm_words")
        if config.tied:
            self.read_out = layers.TiedOutput(vocabulary_size, config.output_dropout)
        else:
            self.read_out = layers.LinearOutput(vocabulary_size, config.output_dropout)

    def encode(self, inputs, noise=SILENCE):
        annotations = super().encode(inputs, noise)
        present = annotations["present"]
        regions = noise.dropout("regions", annotations["regions"], self.config.feature_dropout)
        encoded = self.project(regions)
        levels = []
        for index, block in enumerate(self.encoder_blocks):
            encoded = block(encoded, annotations["boxes"], present, noise, f"encoder {index}")
            levels.append(encoded)
        if not self.config.meshed:
            levels = [encoded]
        if self.norm_regions:
            levels = [self.norm_regions(level) for level in levels]
        for index, block in enumerate(self.decoder_blocks):
            keys, values = block.image_keys_and_values(levels)
            annotations[f"keys_{index}"] = keys
            annotations[f"values_{index}"] = values
        return annotations

    def initial_state(self, annotations, n):
        config = self.config
        batch = tf.shape(annotations["boxes"])[0]
        shape = [batch, n, config.heads, config.positions, config.width // config.heads]
        empty = tf.zeros(shape, self.compute_dtype)
        caches = tuple((empty, empty) for _ in self.decoder_blocks)
        return TransformerState(tf.zeros([batch, n], tf.int32), caches)

    def step(self, tokens, state, annotations):
        words = self._embed(tokens, state.position)[:, :, None]  # [B, N, 1, E]
        caches = []
        attentions = []
        for index, (block, cache) in enumerate(zip(self.decoder_blocks, state.caches)):
            words, attention, cache = block.read_next(
                words,
                cache,
                state.position,
                self._image(annotations, index),
                annotations["present"],
            )
            caches.append(cache)
            attentions.append(attention)
        log_probs = self._read_out(None, self._normed(words)[:, :, 0], None)
        shown = tf.reduce_mean(self._shown(attentions), axis=1)[:, :, 0]  # [B, N, L]
        return log_probs, shown, TransformerState(state.position + 1, tuple(caches))

    def unroll(self, annotations, captions, noise=SILENCE):
        words, attentions = self._read(annotations, captions, noise)
        log_probs = layers.read_words(self._read_out, captions, None, words, None, noise)
        return log_probs, tf.reduce_mean(self._shown(attentions), axis=1)  # [B, N, T, L]

    def attention_of_heads(self, inputs):
        """The attention of each head of the layer that is shown, in captions [B, N, T].

        Args:
            inputs: the model's inputs with "captions", see `Captioner`.

        Returns:
            float32 [B, N, T, heads, L].
        """
        _, attentions = self._read(self.encode(inputs), inputs["captions"], SILENCE)
        return tf.transpose(self._shown(attentions), [0, 2, 3, 1, 4])

    def _read(self, annotations, captions, noise):
        """(the decoder's last words [B, N, T, E], each layer's attention [B, heads, N, T, L])."""
        tokens = shift_right(captions)
        words = self._embed(tokens, tf.range(tf.shape(tokens)[2]))
        words = noise.dropout("words", words, self.config.embedding_dropout)
        attentions = []
        for index, block in enumerate(self.decoder_blocks):
            words, attention = block(
                words,
                self._image(annotations, index),
                annotations["present"],
                noise,
                f"decoder {index}",
            )
            attentions.append(attention)
        return self._normed(words), attentions

    def _embed(self, tokens, positions):
        """Word vectors at their positions, [B, N, ·, E]."""
        return self.embedding(tokens) * self.config.width**0.5 + self.positions(positions)

    def _read_out(self, words, hidden, context, noise=SILENCE):
        """log p of all words, from the decoder's last layer alone: [..., V]."""
        if self.config.tied:
            return self.read_out(hidden, self.embedding.table, noise)
        return self.read_out(words, hidden, context, noise)

    def _normed(self, words):
        return self.norm_words(words) if self.norm_words else words

    def _image(self, annotations, index):
        """The image's keys and values for a decoder layer."""
        return annotations[f"keys_{index}"], annotations[f"values_{index}"]

    def _shown(self, attentions):
        """The attention [B, heads, N, ·] of the layer that `attention_layer` names."""
        return attentions[self.config.attention_layer - 1]
