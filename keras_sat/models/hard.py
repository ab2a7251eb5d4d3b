"""Show, Attend and Tell with hard attention: sampled locations, learned by REINFORCE."""

import keras
import tensorflow as tf

from keras_sat.layers.noise import SILENCE, image_draws, image_seeds, place
from keras_sat.models.losses import attention_entropy, word_log_probs
from keras_sat.models.soft import SoftCaptioner
from keras_sat.models.step import global_sum
from keras_sat.text.ids import caption_mask


@keras.saving.register_keras_serializable(package="keras_sat")
class HardCaptioner(SoftCaptioner):
    """At each step one location s_t ~ Multinoulli(α_t) gives the context ẑ_t = β_t a_{s_t}.

    Training follows the Monte Carlo estimate of the gradient (section 4.1 of the paper), from N
    sampled location sequences s̃ⁿ per caption:

        1/N Σ_n [ ∂ log p(y|s̃ⁿ, a) + λ_r (R(s̃ⁿ) − b) ∂ log p(s̃ⁿ|a) + λ_e ∂ H[s̃ⁿ] ]

    R is log p(y|s̃ⁿ, a) or its mean over the words, b a moving average of R. With some probability
    the context is the expected one instead, as in soft attention.

    In captioning the context is the expected one, that of the likeliest location, or that of a
    sampled one. The sampled locations are a function of the image and the step, so captions are
    reproducible.

    Args:
        config: a `keras_sat.config.Hard`.
        vocabulary_size: see `Captioner`.
        input_shapes: see `Captioner`.
        **kwargs: see `Captioner`.

    Reference: Xu et al. 2015, "Show, attend and tell", section 4.1.
    """

    extra_meters = ("penalty", "entropy")

    def __init__(self, config, vocabulary_size, input_shapes, **kwargs):
        super().__init__(config, vocabulary_size, input_shapes, **kwargs)
        # Updated by a mean over all replicas, it is the same on each of them.
        self.baseline = self.add_weight(
            "baseline",
            [],
            tf.float32,
            "zeros",
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def initial_state(self, annotations, n):
        state = super().initial_state(annotations, n)
        if self.config.decode != "sample":
            return state
        seeds = tf.repeat(image_seeds(annotations["summary"])[:, None], n, axis=1)  # [B, N]
        step = tf.zeros_like(seeds)
        return state._replace(sampling=tf.stack([seeds, step], axis=-1))  # [B, N, 2]

    def _training_draws(self, captions, noise):
        """The random inputs of every step in training.

        Returns:
            {"draw": a uniform draw for each location, "expected": whether the context is the
            expected one}, both [B, N, T]; empty without noise.
        """
        if not noise.draws:
            return {}
        if self.config.expectation_per == "image":
            expected = noise.uniform("expected", [1, 1]) < self.config.expectation  # [B, 1, 1]
        else:
            expected = noise.shared("expected") < self.config.expectation
        draws = noise.uniform("locations", tf.unstack(tf.shape(captions))[1:])  # [B, N, T]
        everywhere = tf.logical_or(expected, tf.zeros_like(draws, tf.bool))
        return {"draw": draws, "expected": everywhere}

    def _choose_context(self, attention, inputs, sampling):
        if "draw" in inputs:
            return self._context_in_training(attention, inputs), sampling
        if self.config.decode == "sample":
            return _sampled_context(attention, sampling)
        if self.config.decode == "argmax":
            return _one_hot(tf.argmax(attention, axis=-1), attention), sampling
        return attention, sampling

    def _context_in_training(self, attention, inputs):
        """A one-hot sampled location, or the whole attention where `expected` holds; [B, N, L]."""
        soft = attention
        if self.config.attention_gradient != "all":
            soft = tf.stop_gradient(attention)
        sampled = _one_hot(place(attention, inputs["draw"]), attention)
        return tf.where(inputs["expected"][..., None], soft, sampled)

    def loss_terms(self, inputs, captions_in_batch, noise=SILENCE):
        """As `Captioner.loss_terms`.

        The value of the term `reinforce` is zero; only its gradient has a meaning.
        """
        if not noise.training:
            return super().loss_terms(inputs, captions_in_batch)
        config = self.config
        samples = config.samples
        captions = tf.repeat(inputs["captions"], samples, axis=1)  # [B, N·samples, T]
        total = captions_in_batch * samples
        terms, (log_probs, attention) = super().loss_terms(
            {**inputs, "captions": captions}, total, noise
        )
        if config.penalty == "arctic":
            terms["penalty"] /= samples  # a sum over captions, not a mean
        if config.attention_gradient == "reinforce":
            terms["penalty"] = tf.stop_gradient(terms["penalty"])

        log_p = self._location_log_probs(attention, captions, noise)  # [B, N·samples]
        advantages = self._rewards(log_probs, captions) - self.baseline
        reinforce = -config.reward_weight * tf.reduce_sum(advantages * log_p) / total
        terms["reinforce"] = reinforce - tf.stop_gradient(reinforce)
        entropy = tf.reduce_sum(attention_entropy(attention, captions))
        terms["entropy"] = -config.entropy_weight * entropy / total
        return terms, (log_probs[:, ::samples], attention[:, ::samples])

    def _location_log_probs(self, attention, captions, noise):
        """log p(s̃|a) of each caption's sampled locations, [B, N].

        Steps with an expected context count as zero.
        """
        draws = self._training_draws(captions, noise)  # those of the forward pass
        locations = place(attention, draws["draw"])[..., None]
        chosen = tf.gather(attention, locations, batch_dims=3)[..., 0]  # [B, N, T]
        log_p = tf.where(draws["expected"], 0.0, tf.math.log(tf.maximum(chosen, 1e-30)))
        return tf.reduce_sum(log_p * caption_mask(captions), axis=-1)

    def _rewards(self, log_probs, captions):
        """R of each caption, [B, N]; zero for padding captions."""
        rewards = tf.stop_gradient(tf.reduce_sum(word_log_probs(log_probs, captions), axis=-1))
        if self.config.reward == "mean":
            rewards /= tf.maximum(tf.reduce_sum(caption_mask(captions), axis=-1), 1)
        return rewards

    def observe(self, captions, outputs):
        """The sum of the rewards of each caption's first sample."""
        log_probs, _ = outputs
        return tf.reduce_sum(self._rewards(log_probs, captions))

    def after_update(self, observed, captions_in_batch):
        """Updates the baseline by the rewards after their use, since it must not depend on them."""
        decay = self.config.baseline_decay
        mean = global_sum(observed) / captions_in_batch
        self.baseline.assign(decay * self.baseline + (1 - decay) * mean)


def _sampled_context(attention, sampling):
    """A location per image, drawn by the image's own seed.

    Args:
        attention: α_t, [B, N, L].
        sampling: int32 [B, N, 2], the image's seed and the step.

    Returns:
        (one-hot [B, N, L], the next step's sampling [B, N, 2]).
    """
    draws = image_draws(sampling[:, 0], [])  # [B]; all hypotheses of an image are at the same step
    draws = tf.repeat(draws[:, None], tf.shape(attention)[1], axis=1)  # [B, N]
    return _one_hot(place(attention, draws), attention), sampling + [0, 1]


def _one_hot(locations, attention):
    return tf.one_hot(locations, tf.shape(attention)[-1])
