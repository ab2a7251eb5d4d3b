import keras
import tensorflow as tf

from keras_sat.layers.linear_output import impossible_words
from keras_sat.layers.log_matmul import log_matmul, prepare
from keras_sat.layers.loop_constants import LoopConstants
from keras_sat.layers.product import product


@keras.saving.register_keras_serializable(package="keras_sat")
class Interaction(keras.layers.Layer):
    """The joint distribution over the next word w and its region r, given the state h:

        s(w, r, h) = wᵀW θ_wh h + wᵀW θ_wr Rᵀ r + rᵀR θ_rh h + wᵀW θ_w + rᵀR θ_r
        p(w, r|h) = softmax of s(w, r, h) over all (w, r)

    Its marginals need no tensor of words × regions × states: C = W θ_wr Rᵀ does not depend on h,
    and with a_w(h) and b_r(h), the remaining scores of words and of regions,

        log p(w|h) = log softmax_w(a_w + log Σ_r e^{C_wr + b_r})
        log p(r|h) = log softmax_r(b_r + log Σ_w e^{C_wr + a_w})

    PAD and START have probability zero. In the code, `a` is a_w(h) [B, Q, V], `b` is b_r(h)
    [B, Q, L] and `once` is what `prepare` returns, for Q states per image.

    Args:
        embedding_size: E, of the word vectors W.
        region_size: D, of the region descriptors R.
        word_region: whether there is the term θ_wr.
        region_state: whether there is the term θ_rh. Without both terms, regions play no part
            (R = 0), and p(r|h) is uniform.

    Example: 1,000 words, and two images of five regions with three states each.

        >>> interaction = Interaction(embedding_size=64, region_size=128)
        >>> table = tf.random.normal([1000, 64])
        >>> regions = tf.random.normal([2, 5, 128])
        >>> once = interaction.prepare(table, regions, present=tf.fill([2, 5], True))
        >>> hidden = tf.random.normal([2, 3, 32])
        >>> a = interaction.word_scores(hidden, once)  # [B, Q, V]
        >>> b = interaction.region_scores(hidden, once)  # [B, Q, L]
        >>> interaction.words(a, b, once).shape  # log p(w|h)
        TensorShape([2, 3, 1000])
        >>> interaction.regions(a, b, once).shape  # p(r|h)
        TensorShape([2, 3, 5])

    Reference: Pedersoli et al. 2017, "Areas of attention for image captioning", equations 2–5.
    """

    def __init__(self, embedding_size, region_size, word_region=True, region_state=True, **kwargs):
        super().__init__(**kwargs)
        self.embedding_size = embedding_size
        self.region_size = region_size
        self.word_region = word_region
        self.region_state = region_state
        # θ_wh, and θ_w as its bias.
        self._word_state = self._dense(embedding_size, "word_state")
        if word_region:
            self._word_region = self._dense(embedding_size, "word_region", use_bias=False)  # θ_wr
        if region_state:
            # θ_rh, and θ_r as its bias.
            self._region_state = self._dense(region_size, "region_state")
        elif word_region:
            self._region_bias = self._dense(1, "region_bias", use_bias=False)  # θ_r

    def _dense(self, units, name, use_bias=True):
        return keras.layers.Dense(units, use_bias=use_bias, name=name, dtype=self._dtype_policy)

    def get_config(self):
        return super().get_config() | {
            "embedding_size": self.embedding_size,
            "region_size": self.region_size,
            "word_region": self.word_region,
            "region_state": self.region_state,
        }

    def prepare(self, table, regions, present):
        """What does not depend on the state, as a dictionary of tensors.

        Args:
            table: W [V, E].
            regions: R [B, L, D].
            present: bool [B, L]; a region that is not present has probability zero.
        """
        once = {"table": table, "regions": regions, "absent": tf.where(present, 0.0, -1e9)}
        if self.word_region:
            scores = tf.einsum("ble,ve->blv", self._word_region(regions), table)
            once["word_region"] = prepare(tf.cast(scores, tf.float32))
        return once

    def word_scores(self, hidden, once):
        """a_w(h) of states [B, Q, H]; float32 [B, Q, V]."""
        words = once["table"].shape[0]
        # All states are rows of one product; TensorFlow would multiply one image at a time.
        rows = tf.reshape(self._word_state(hidden), [-1, self.embedding_size])  # [B·Q, E]
        scores = tf.matmul(rows, once["table"], transpose_b=True)  # [B·Q, V]
        scores = tf.reshape(scores, [*tf.unstack(tf.shape(hidden))[:-1], words])  # [B, Q, V]
        return tf.cast(scores, tf.float32) + impossible_words(words)

    def region_scores(self, hidden, once):
        """b_r(h) of states [B, Q, H]; float32 [B, Q, L]."""
        if self.region_state:
            scores = product(self._region_state(hidden), once["regions"], transpose=True)
        elif self.word_region:
            bias = self._region_bias(once["regions"])[:, None, :, 0]  # [B, 1, L]
            scores = bias + tf.zeros_like(hidden[..., :1])
        else:
            scores = tf.zeros_like(hidden[..., :1])  # [B, Q, 1]
        return tf.cast(scores, tf.float32) + once["absent"][:, None]

    def words(self, a, b, once):
        """log p(w|h) [B, Q, V]."""
        if self.word_region:
            a = a + log_matmul(b, once["word_region"])
        return tf.nn.log_softmax(a)

    def regions(self, a, b, once, over_words=None):
        """p(r|h) [B, Q, L].

        Args:
            a: of `word_scores`.
            b: of `region_scores`.
            once: of `prepare`.
            over_words: a function that computes log Σ_w e^{C_wr + a_w} from a in place of
                `_over_words`, such as those of `loop_constants`.
        """
        if self.word_region:
            b = b + (over_words(a) if over_words else _over_words(a, once["word_region"]))
        return tf.nn.softmax(b)

    def loop_constants(self, once, shape):
        """C for a loop that calls `regions` in every step.

        Args:
            once: of `prepare`.
            shape: that of all steps' attention, [B, N, T, L].

        Returns:
            `LoopConstants`, whose inputs are the a of all steps; None without the term θ_wr.
        """
        if not self.word_region:
            return None
        return LoopConstants(_over_words, once["word_region"], tf.zeros(shape))

    def rows(self, tokens, once):
        """C_wr of chosen words: tokens [B, …] → float32 [B, …, L]."""
        if self.word_region:
            scores = tf.linalg.matrix_transpose(once["word_region"]["scores"])  # [B, V, L]
            return tf.gather(scores, tokens, batch_dims=1)
        return tf.zeros_like(tokens, tf.float32)[..., None]

    def regions_of_word(self, rows, b):
        """p(r|w, h) ∝ exp(C_wr + b_r) [B, Q, L], for the words whose `rows` are given."""
        return tf.nn.softmax(rows + b)


def _over_words(a, word_region, constant=False):
    """log Σ_w e^{C_wr + a_w}, [B, Q, L]."""
    return log_matmul(a, word_region, transpose=True, constant=constant)
