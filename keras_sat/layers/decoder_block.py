import keras
import tensorflow as tf

from keras_sat.layers.feed_forward import FeedForward
from keras_sat.layers.multi_head_attention import MultiHeadAttention
from keras_sat.layers.noise import SILENCE
from keras_sat.layers.residual import Residual


@keras.saving.register_keras_serializable(package="keras_sat")
class DecoderBlock(keras.layers.Layer):
    """A Transformer's decoder layer: words attend to words, then to regions, then are transformed.

    With several levels, it attends to the output of each encoder layer, and gates add them up:
    Σ_i σ(W_i [y, C_i]) ⊙ C_i / √levels, the meshed connection of Cornia et al. 2020.

    Args:
        size: E, the width of inputs and outputs.
        heads: the number of heads.
        hidden_size: the width of the feed-forward network's hidden layer; 0: there is none.
        norm: see `Residual`.
        levels: the number of encoder layers that it attends to.
        dropout: after each part, and of attention weights and hidden layer.

    Example: two images of five regions, three captions of four words each.

        >>> block = DecoderBlock(16, heads=2, hidden_size=32)
        >>> image = block.image_keys_and_values([tf.random.normal([2, 5, 16])])
        >>> words, attention = block(tf.random.normal([2, 3, 4, 16]), image)
        >>> words.shape, attention.shape  # [B, N, T, E], [B, heads, N, T, L]
        (TensorShape([2, 3, 4, 16]), TensorShape([2, 2, 3, 4, 5]))

    Reference: Vaswani et al. 2017, section 3.1; Cornia et al. 2020, "Meshed-memory Transformer for
    image captioning", equations 5–7.
    """

    def __init__(self, size, heads, hidden_size, norm="pre", levels=1, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.heads = heads
        self.hidden_size = hidden_size
        self.norm = norm
        self.levels = levels
        self.dropout = dropout
        policy = self._dtype_policy
        self._read_words = MultiHeadAttention(
            size, heads, dropout=dropout, name="read_words", dtype=policy
        )
        self._read_image = MultiHeadAttention(
            size, heads, dropout=dropout, name="read_image", dtype=policy
        )
        self._around_words = Residual(norm, dropout, name="around_words", dtype=policy)
        self._around_image = Residual(norm, dropout, name="around_image", dtype=policy)
        self._gates = []
        if levels > 1:
            for level in range(levels):
                gate = keras.layers.Dense(size, "sigmoid", name=f"gate_{level}", dtype=policy)
                self._gates.append(gate)
        self._transform = None
        if hidden_size:
            self._transform = FeedForward(size, hidden_size, dropout, dtype=policy)
            self._around_transform = Residual(norm, dropout, name="around_transform", dtype=policy)

    def get_config(self):
        return super().get_config() | {
            "size": self.size,
            "heads": self.heads,
            "hidden_size": self.hidden_size,
            "norm": self.norm,
            "levels": self.levels,
            "dropout": self.dropout,
        }

    def image_keys_and_values(self, levels):
        """What `call` and `read_next` need of an image, computed once.

        Args:
            levels: the outputs [B, L, E] of the encoder's layers, as many as `levels`.

        Returns:
            (keys, values), each [B, levels, heads, L, E / heads].
        """
        return self._read_image.keys_and_values(tf.stack(levels, axis=1))

    def call(self, words, image, present=None, noise=SILENCE, name="decoder"):
        """All steps of captions at once.

        Args:
            words: [B, N, T, E].
            image: see `image_keys_and_values`.
            present: bool [B, L], the regions that exist; None: all.
            noise: of a training step.
            name: how the names of the dropouts' draws begin.

        Returns:
            (words [B, N, T, E], attention float32 [B, heads, N, T, L]).
        """
        steps = tf.range(tf.shape(words)[2])
        earlier = steps <= steps[:, None]  # [T, T]

        def read_words(inputs):
            keys, values = self._read_words.keys_and_values(inputs)
            context, _ = self._read_words(
                inputs, keys, values, earlier, noise=noise, name=f"{name} words"
            )
            return context

        words = self._around_words(words, read_words, noise, f"{name} read words")
        return self._read_and_transform(words, image, present, noise, name)

    def read_next(self, words, cache, position, image, present=None):
        """The next step of captions.

        Args:
            words: [B, N, 1, E], the last words.
            cache: (keys, values) of all words so far, each [B, N, heads, P, E / heads]; the places
                from `position` on are not read.
            position: int32 [B, N], the number of words before these.
            image: see `image_keys_and_values`.
            present: bool [B, L], the regions that exist; None: all.

        Returns:
            (words [B, N, 1, E], attention float32 [B, heads, N, 1, L], the cache with these words).
        """
        places = tf.range(tf.shape(cache[0])[-2])
        here = (places == position[..., None])[:, :, None, :, None]  # [B, N, 1, P, 1]
        known = (places <= position[..., None])[:, :, None, None]  # [B, N, 1, 1, P]
        extended = []

        def read_words(inputs):
            for before, new in zip(cache, self._read_words.keys_and_values(inputs)):
                extended.append(tf.where(here, new, before))
            context, _ = self._read_words(inputs, *extended, known)
            return context

        words = self._around_words(words, read_words)
        words, attention = self._read_and_transform(words, image, present, SILENCE, "")
        return words, attention, tuple(extended)

    def _read_and_transform(self, words, image, present, noise, name):
        """(words [B, N, T, E], attention [B, heads, N, T, L]) after attention to the regions."""
        shape = tf.shape(words)
        words = tf.reshape(words, [shape[0], -1, self.size])  # [B, N·T, E]
        visible = None if present is None else present[:, None, None]
        attentions = []

        def read_image(inputs):
            keys, values = image
            contexts = []
            for level in range(self.levels):
                context, attention = self._read_image(
                    inputs,
                    keys[:, level],
                    values[:, level],
                    visible,
                    noise=noise,
                    name=f"{name} image {level}",
                )
                contexts.append(context)
                attentions.append(attention)
            return self._joined(inputs, contexts)

        def transform(inputs):
            return self._transform(inputs, noise=noise, name=f"{name} hidden")

        words = self._around_image(words, read_image, noise, f"{name} read image")
        if self._transform:
            words = self._around_transform(words, transform, noise, f"{name} transformed")
        attention = tf.add_n(attentions) / len(attentions)
        attention_shape = [shape[0], self.heads, shape[1], shape[2], tf.shape(image[0])[-2]]
        return tf.reshape(words, shape), tf.reshape(attention, attention_shape)

    def _joined(self, words, contexts):
        """One context [B, Q, E] of those of all levels."""
        if not self._gates:
            return contexts[0]
        gated = []
        for gate, context in zip(self._gates, contexts):
            gated.append(gate(tf.concat([words, context], axis=-1)) * context)
        return tf.add_n(gated) * self.levels**-0.5
