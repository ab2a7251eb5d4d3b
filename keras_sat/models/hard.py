"""Show, Attend and Tell with hard attention (Xu et al. 2015): locations are sampled, and learned by REINFORCE."""

import tensorflow as tf

from keras_sat.layers.noise import SILENCE, image_draws, image_seeds, place
from keras_sat.models.captioner import global_sum
from keras_sat.models.losses import attention_entropy, word_log_probs
from keras_sat.models.soft import SoftCaptioner
from keras_sat.text.ids import caption_mask


class HardCaptioner(SoftCaptioner):
    """At each step one location s_t ~ Multinoulli(α_t) gives the context ẑ_t = β_t a_{s_t}.

    Training follows the Monte Carlo estimate of the gradient (section 4.1 of the paper), of N sampled runs through a caption

        1/N Σ_n [ ∂ log p(y|s̃ⁿ, a) + λ_r (R(s̃ⁿ) − b) ∂ log p(s̃ⁿ|a) + λ_e ∂ H[s̃ⁿ] ]

    where R is log p(y|s̃ⁿ, a) or its mean over the words, and b a moving average of R. With some probability the context is
    the expected one instead, as in soft attention. Captioning uses the expected context, the likeliest location or a sample;
    a sampled location is a function of the image and the step, so a caption can be repeated.

    Args: see `Captioner`; `config` is a `keras_sat.config.Hard`.
    """

    def __init__(self, config, vocabulary_size, input_shapes, **kwargs):
        super().__init__(config, vocabulary_size, input_shapes, **kwargs)
        # Moved by a mean over all replicas, it is the same on each of them.
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
        return (
            *state,
            tf.stack([seeds, tf.zeros_like(seeds)], axis=-1),
        )  # the second number counts the steps

    def _draws(self, captions, noise):
        """Of training: a uniform draw for each location, and whether the context is the expected one."""
        if not noise.draws:
            return {}
        if self.config.expectation_per == "image":
            expected = noise.uniform("expected", [1, 1]) < self.config.expectation  # [B, 1, 1]
        else:
            expected = noise.shared("expected") < self.config.expectation
        draws = noise.uniform("locations", tf.unstack(tf.shape(captions))[1:])  # [B, N, T]
        return {"draw": draws, "expected": tf.logical_or(expected, tf.zeros_like(draws, tf.bool))}

    def _look(self, attention, inputs, more):
        if "draw" in inputs:
            soft = (
                attention
                if self.config.attention_gradient == "all"
                else tf.stop_gradient(attention)
            )
            one_hot = tf.one_hot(place(attention, inputs["draw"]), tf.shape(attention)[-1])
            return tf.where(inputs["expected"][..., None], soft, one_hot), more
        if self.config.decode == "expectation":
            return attention, more
        if self.config.decode == "argmax":
            return tf.one_hot(tf.argmax(attention, axis=-1), tf.shape(attention)[-1]), more
        (seeds,) = more
        draws = image_draws(seeds[:, 0], [])  # all hypotheses of an image are at the same step
        locations = place(attention, tf.repeat(draws[:, None], tf.shape(attention)[1], axis=1))
        return tf.one_hot(locations, tf.shape(attention)[-1]), [seeds + [0, 1]]

    meter_names = (*SoftCaptioner.meter_names, "entropy")

    def losses_of(self, inputs, captions_in_batch, noise=SILENCE):
        """As `Captioner.losses_of`. The term `reinforce` has the value zero: only its gradient means something."""
        if not noise.training:
            return super().losses_of(inputs, captions_in_batch)
        config, samples = self.config, self.config.samples
        captions = tf.repeat(inputs["captions"], samples, axis=1)  # [B, N·samples, T]
        total = captions_in_batch * samples
        terms, (log_probs, attention) = super().losses_of(
            {**inputs, "captions": captions}, total, noise
        )
        if config.penalty == "arctic":
            terms["penalty"] /= samples  # it is a sum over captions, not a mean
        if config.attention_gradient == "reinforce":
            terms["penalty"] = tf.stop_gradient(terms["penalty"])

        draws = self._draws(captions, noise)  # those of the forward pass
        locations = place(attention, draws["draw"])[..., None]
        chosen = tf.math.log(
            tf.maximum(tf.gather(attention, locations, batch_dims=3)[..., 0], 1e-30)
        )  # [B, N·samples, T]
        sampled = tf.reduce_sum(
            tf.where(draws["expected"], 0.0, chosen) * caption_mask(captions), axis=-1
        )  # log p(s̃|a)
        advantages = self._rewards(log_probs, captions) - self.baseline
        reinforce = -config.reward_weight * tf.reduce_sum(advantages * sampled) / total
        terms["reinforce"] = reinforce - tf.stop_gradient(reinforce)
        terms["entropy"] = (
            -config.entropy_weight * tf.reduce_sum(attention_entropy(attention, captions)) / total
        )
        return terms, (log_probs[:, ::samples], attention[:, ::samples])

    def _rewards(self, log_probs, captions):
        """R of each caption, [B, N]; zero for padding captions."""
        rewards = tf.stop_gradient(tf.reduce_sum(word_log_probs(log_probs, captions), axis=-1))
        if self.config.reward == "mean":
            rewards /= tf.maximum(tf.reduce_sum(caption_mask(captions), axis=-1), 1)
        return rewards

    def observe(self, captions, outputs):
        """Of each caption the first sample's reward."""
        return tf.reduce_sum(self._rewards(outputs[0], captions))

    def after_update(self, observed, captions_in_batch):
        """Moves the baseline by the rewards, once they have been used: it must not depend on them."""
        decay = self.config.baseline_decay
        self.baseline.assign(
            decay * self.baseline + (1 - decay) * global_sum(observed) / captions_in_batch
        )
