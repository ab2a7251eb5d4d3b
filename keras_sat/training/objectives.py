"""What training makes better: the likelihood of given captions, or a metric of the captioner's own.

An objective says how many captions its loss is a mean over, and gives a replica's share of every term of the loss.
"""

import keras
import tensorflow as tf

from keras_sat.config import Decoding
from keras_sat.decoding.search import sample
from keras_sat.layers.noise import SILENT_TRAINING
from keras_sat.models.losses import distillation, word_log_probs
from keras_sat.runs.ensemble import open_runs
from keras_sat.text.ids import PAD, caption_lengths, caption_mask, longest_first
from keras_sat.utils.errors import UserError


class Likelihood:
    """The likelihood of the captions of a batch, and what else `Captioner.losses_of` asks for."""

    given = True  # the captions that are read are those of the batch
    inputs = ()  # what is read of a record, whatever the model reads; known once it is prepared
    shown = "word_loss"  # the metric that tells how training goes

    def prepare(self, data, vocabulary):
        """Reads what the objective needs of a `PreparedData`."""

    def summary(self, results):
        """An epoch's {metric: value} in a few words."""
        return "loss {loss:.3f}, a word {word_loss:.3f} (validation {val_word_loss:.3f})".format(
            **results
        )

    def count(self, inputs):
        """How many captions this replica holds (padding captions hold no word), float32."""
        return tf.reduce_sum(tf.reduce_max(caption_mask(inputs["captions"]), axis=-1))

    def losses_of(self, model, inputs, captions_in_batch, noise):
        """The share of every term {name: scalar}, the captions [B, N, T] that were read, and (log_probs, attention)."""
        terms, outputs = model.losses_of(inputs, captions_in_batch, noise)
        return terms, inputs["captions"], outputs


class Distillation(Likelihood):
    """The likelihood, of targets that the distribution of a trained captioner has a share in.

    The cross entropy of every word is (1 − δ) H(y, p) + δ H(q, p), y with label smoothing, q the teacher's distribution
    after the same words, free of dropout. With hard attention q has its share in the words after the first of the sampled
    runs; rewards remain the likelihood's.

    Args:
        load: a function that gives the teacher, a `Captioner` or an `Ensemble`.
        share: δ.

    Reference: Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network"; for sequences, word by word,
    Kim & Rush 2016, "Sequence-level knowledge distillation", section 3.1.
    """

    def __init__(self, load, share):
        self._load, self._share = load, share

    def prepare(self, data, vocabulary):
        """Loads the teacher. Raises: UserError: as `build_objective` says."""
        self._teacher = self._load()

    @property
    def inputs(self):
        return tuple(self._teacher.input_shapes)

    def losses_of(self, model, inputs, captions_in_batch, noise):
        terms, captions, outputs = super().losses_of(model, inputs, captions_in_batch, noise)
        taught, _ = self._teacher(inputs)
        terms["cross_entropy"] *= 1 - self._share
        terms["distillation"] = (
            self._share * distillation(outputs[0], taught, captions) / captions_in_batch
        )
        return terms, captions, outputs


class SelfCritical:
    """The expected CIDEr-D of captions that the model samples, by REINFORCE: self-critical sequence training.

    Of K samples of an image each is judged against the mean of the other K − 1:

        − 1/K Σ_k (R(y_k) − 1/(K−1) Σ_{j≠k} R(y_j)) ∂ log p(y_k|a)

    Noise falls on the annotations alone, so that log p is the distribution that the words were drawn from: no dropout of
    words or states; nor is there a penalty or label smoothing, and hard attention's context is the expected one. The value
    of the loss is − R, the mean over samples, and the metrics tell of the samples. A row of the batch must be an image with
    all its captions: they are the references.

    Args:
        samples: K, at least 2. max_length: ids of a sample at most, END included.
        reward: (captions int32 [B, K, T], references [B, N, T′]) → float32 [B, K], NumPy arrays; `prepare` gives CIDEr-D.

    Reference: Rennie et al. 2017, "Self-critical sequence training for image captioning", equation 6; the baseline is Luo's
    (2020, "A better variant of self-critical sequence training").
    """

    given = False
    inputs = ()
    shown = "loss"

    def __init__(self, samples, max_length, reward=None):
        self._samples, self._reward = samples, reward
        # Nothing is forbidden, or log p would not be the distribution that samples come from.
        self._decoding = Decoding(
            "sample", beam=samples, max_length=max_length, min_length=0, unknown=True
        )

    def prepare(self, data, vocabulary):
        """The training captions are the corpus by which CIDEr-D weighs words."""
        from keras_sat.data.input_pipeline import read_captions
        from keras_sat.training.rewards import CiderReward

        images = [captions.tolist() for _, captions in read_captions(data, "train")]
        flat = [caption for captions in images for caption in captions]
        ids = iter(vocabulary.encode(flat, self._decoding.max_length).to_list())
        self._reward = CiderReward([next(ids) for _ in captions] for captions in images)

    def summary(self, results):
        """An epoch's {metric: value} in a few words."""
        return f"CIDEr of samples {-100 * results['loss']:.1f}"

    def count(self, inputs):
        """How many captions this replica will sample, float32."""
        return self._samples * tf.reduce_sum(tf.cast(_exists(inputs), tf.float32))

    def losses_of(self, model, inputs, captions_in_batch, noise):
        """As `Likelihood.losses_of`; the captions are the samples [B, K, T]."""
        annotations = model.encode(inputs, noise)
        draws = noise.uniform("samples", [self._decoding.max_length, self._samples])
        captions, _, _ = sample(model, annotations, self._decoding, draws)
        captions = longest_first(tf.where(_exists(inputs)[:, None, None], captions, PAD))
        captions = captions[..., : tf.maximum(tf.reduce_max(caption_lengths(captions)), 1)]
        rewards = tf.numpy_function(
            self._reward, [captions, inputs["captions"]], tf.float32, stateful=False
        )
        rewards = tf.ensure_shape(rewards, [None, self._samples])
        others = (tf.reduce_sum(rewards, axis=1, keepdims=True) - rewards) / (self._samples - 1)

        log_probs, attention = model.unroll(annotations, captions, SILENT_TRAINING)
        log_p = tf.reduce_sum(word_log_probs(log_probs, captions), axis=-1)  # [B, K]
        loss = -tf.reduce_sum((rewards - others) * log_p) / captions_in_batch
        value = -tf.reduce_sum(rewards) / captions_in_batch
        return {"cider": loss + tf.stop_gradient(value - loss)}, captions, (log_probs, attention)


def build_objective(run):
    """The objective that the section `train` of a `Run` asks for.

    Its `prepare` raises `UserError` for a teacher that is not trained or is for other data.
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
    model = teachers.load_model()
    keras.utils.set_random_seed(
        experiment.seed
    )  # building it has set its own, which the order of batches goes by
    return model


def _exists(inputs):
    """bool [B]: whether a row is an image, not one that fills up the batch."""
    return tf.reduce_any(inputs["captions"] != PAD, axis=[1, 2])
