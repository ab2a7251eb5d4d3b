"""Further objectives: distillation from trained captioners, and a metric by REINFORCE.

Each has the methods of `keras_sat.models.step.Likelihood`.
"""

import keras
import tensorflow as tf

from keras_sat.config import Decoding
from keras_sat.data.reading import read_captions
from keras_sat.decoding.sampling import sample
from keras_sat.layers.noise import SILENT_TRAINING
from keras_sat.models.losses import distillation, word_log_probs
from keras_sat.models.step import Likelihood
from keras_sat.runs.ensemble import open_runs
from keras_sat.runs.loading import load_model
from keras_sat.text.ids import PAD, caption_lengths, longest_first
from keras_sat.training.rewards import CiderReward
from keras_sat.utils.errors import UserError


class Distillation(Likelihood):
    """The likelihood of targets that are partly the distribution of a teacher.

    The teacher is a trained captioner. The cross entropy of every word is
    (1 − δ) H(y, p) + δ H(q, p). y is the word with label smoothing, q the teacher's distribution
    after the same words, without dropout. With hard attention, q affects the words of the first
    sampled location sequence only, and rewards remain those of the likelihood.

    Args:
        load: a function that returns the teacher, a `Captioner` or an `Ensemble`.
        share: δ.

    Reference:
        Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network"; for sequences,
        word by word, Kim & Rush 2016, "Sequence-level knowledge distillation", section 3.1.
    """

    def __init__(self, load, share):
        self._load = load
        self._share = share
        self._teacher = None

    def prepare(self, data, vocabulary):
        """Loads the teacher.

        Raises:
            UserError: as `build_objective` says.
        """
        self._teacher = self._load()

    @property
    def inputs(self):
        if self._teacher is None:
            raise UserError("Distillation: has no teacher yet; call its prepare before fit")
        return tuple(self._teacher.input_shapes)

    def loss_terms(self, model, inputs, captions_in_batch, noise):
        terms, captions, outputs = super().loss_terms(model, inputs, captions_in_batch, noise)
        log_probs, _ = outputs
        taught, _ = self._teacher(inputs)
        terms["cross_entropy"] *= 1 - self._share
        entropy = distillation(log_probs, taught, captions)
        terms["distillation"] = self._share * entropy / captions_in_batch
        return terms, captions, outputs


class SelfCritical:
    """The expected CIDEr-D of sampled captions, by REINFORCE: self-critical sequence training.

    Each of an image's K samples is compared with the mean of the other K − 1:

        − 1/K Σ_k (R(y_k) − 1/(K−1) Σ_{j≠k} R(y_j)) ∂ log p(y_k|a)

    Noise is applied to the annotations alone, so that log p is the distribution that the words were
    drawn from: there is no dropout of words or states, no penalty and no label smoothing, and hard
    attention's context is the expected one. The value of the loss is − R, the mean over samples.
    Metrics describe the samples. A row of the batch must be an image with all its captions: they
    are the references.

    Args:
        samples: K, at least 2.
        max_length: the largest number of ids of a sample, END included.
        reward: a function of NumPy arrays, (captions int32 [B, K, T], references [B, N, T′]) →
            float32 [B, K] (default: `prepare` makes it CIDEr-D).

    Reference:
        Rennie et al. 2017, "Self-critical sequence training for image captioning", equation 6; the
        baseline is that of Luo 2020, "A better variant of self-critical sequence training".
    """

    given = False
    shown = "loss"

    def __init__(self, samples, max_length, reward=None):
        self._samples = samples
        self._reward = reward
        # No word is forbidden: otherwise log p would not be the distribution of the samples.
        self._decoding = Decoding(
            "sample", beam=samples, max_length=max_length, min_length=0, unknown=True
        )

    @property
    def inputs(self):
        if self._reward is None:
            raise UserError("SelfCritical: has no reward yet; call its prepare before fit")
        return ()

    def prepare(self, data, vocabulary):
        """Counts the n-grams of the training captions, by which CIDEr-D weights n-grams."""
        images = [captions.tolist() for _, captions in read_captions(data, "train")]
        flat = [caption for captions in images for caption in captions]
        ids = iter(vocabulary.encode(flat, self._decoding.max_length).to_list())
        self._reward = CiderReward([next(ids) for _ in captions] for captions in images)

    def summary(self, results):
        """An epoch's {metric: value} in a few words."""
        return f"CIDEr of samples {-100 * results['loss']:.1f}"

    def count(self, inputs):
        """The number of captions that this replica will sample, float32 []."""
        return self._samples * tf.reduce_sum(tf.cast(_exists(inputs), tf.float32))

    def loss_terms(self, model, inputs, captions_in_batch, noise):
        """As `Likelihood.loss_terms`; the captions are the samples [B, K, T]."""
        annotations = model.encode(inputs, noise)
        captions = self._sampled(model, annotations, inputs, noise)
        rewards = tf.numpy_function(
            self._reward, [captions, inputs["captions"]], tf.float32, stateful=False
        )
        rewards = tf.ensure_shape(rewards, [None, self._samples])
        others = (tf.reduce_sum(rewards, axis=1, keepdims=True) - rewards) / (self._samples - 1)

        log_probs, attention = model.unroll(annotations, captions, SILENT_TRAINING)
        log_p = tf.reduce_sum(word_log_probs(log_probs, captions), axis=-1)  # [B, K]
        loss = -tf.reduce_sum((rewards - others) * log_p) / captions_in_batch
        value = -tf.reduce_sum(rewards) / captions_in_batch
        # It has the gradient of the loss and the value of the negative reward.
        terms = {"cider": loss + tf.stop_gradient(value - loss)}
        return terms, captions, (log_probs, attention)

    def _sampled(self, model, annotations, inputs, noise):
        """Samples int32 [B, K, T], the longest first; padding for rows without an image."""
        draws = noise.uniform("samples", [self._decoding.max_length, self._samples])
        captions = sample(model, annotations, self._decoding, draws).captions
        captions = longest_first(tf.where(_exists(inputs)[:, None, None], captions, PAD))
        longest = tf.reduce_max(caption_lengths(captions))
        return captions[..., : tf.maximum(longest, 1)]


def build_objective(run):
    """The objective that the section `train` of a `Run` asks for.

    Its `prepare` raises `UserError` for a teacher that is not trained or belongs to other data.
    """
    config = run.experiment.train
    if config.objective == "cider":
        return SelfCritical(config.samples, run.experiment.data.max_length)
    if config.teachers:
        return Distillation(lambda: _teacher(run), config.distillation)
    return Likelihood()


def _teacher(run):
    experiment = run.experiment
    try:
        teachers = open_runs(experiment.train.teachers)
        teachers.data(experiment.data.path)
    except UserError as error:
        raise UserError(f"train.teachers: {error}") from error
    model = load_model(teachers)
    # Building the teacher has set the global seed, which decides the order of batches.
    keras.utils.set_random_seed(experiment.seed)
    return model


def _exists(inputs):
    """Whether a row holds an image, rather than filling up the batch; bool [B]."""
    return tf.reduce_any(inputs["captions"] != PAD, axis=[1, 2])
