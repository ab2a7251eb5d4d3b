"""What training makes better: the likelihood of given captions, or a metric of the captioner's own.

An objective says how many captions its loss is a mean over, and gives a replica's share of every term of the loss.
"""

import collections

import numpy as np
import tensorflow as tf
from pycocoevalcap.cider.cider_scorer import CiderScorer, cook_refs

from keras_sat.config import Decoding
from keras_sat.data.input_pipeline import read_captions
from keras_sat.decoding import sample
from keras_sat.ids import caption_lengths, caption_mask, longest_first
from keras_sat.losses import word_log_probs
from keras_sat.text import PAD, UNKNOWN


class Likelihood:
    """The likelihood of the captions of a batch, and what else `Captioner.losses_of` asks for."""

    shown = "word_loss"  # the metric that tells how training goes

    def count(self, inputs):
        """How many captions this replica holds (padding captions hold no word), float32."""
        return tf.reduce_sum(tf.reduce_max(caption_mask(inputs["captions"]), axis=-1))

    def losses_of(self, model, inputs, captions_in_batch, noise):
        """The share of every term {name: scalar}, the captions [B, N, T] that were read, and (log_probs, attention)."""
        terms, outputs = model.losses_of(inputs, captions_in_batch, noise)
        return terms, inputs["captions"], outputs


class SelfCritical:
    """The expected CIDEr-D of captions that the model samples, by REINFORCE: self-critical sequence training.

    Of K samples of an image each is judged against the mean of the other K − 1:

        − 1/K Σ_k (R(y_k) − 1/(K−1) Σ_{j≠k} R(y_j)) ∂ log p(y_k|a)

    Noise falls on the annotations alone, so that log p is the distribution that the words were drawn from. The value of the
    loss is − R, the mean over samples. A row of the batch must be an image with all its captions: they are the references.

    Args:
        reward: (captions int32 [B, K, T], references [B, N, T′]) → float32 [B, K], NumPy arrays.
        samples: K, at least 2. max_length: ids of a sample at most, END included.

    Reference: Rennie et al. 2017, "Self-critical sequence training for image captioning", equation 6; the baseline is Luo's
    (2020, "A better variant of self-critical sequence training").
    """

    shown = "loss"

    def __init__(self, reward, samples, max_length):
        self._reward, self._samples = reward, samples
        # Nothing is forbidden, or log p would not be the distribution that samples come from.
        self._decoding = Decoding("sample", beam=samples, max_length=max_length, min_length=0, unknown=True)

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
        rewards = tf.numpy_function(self._reward, [captions, inputs["captions"]], tf.float32, stateful=False)
        rewards = tf.ensure_shape(rewards, [None, self._samples])
        others = (tf.reduce_sum(rewards, axis=1, keepdims=True) - rewards) / (self._samples - 1)

        log_probs, attention = model.unroll(annotations, captions)
        log_p = tf.reduce_sum(word_log_probs(log_probs, captions), axis=-1)  # [B, K]
        loss = -tf.reduce_sum((rewards - others) * log_p) / captions_in_batch
        value = -tf.reduce_sum(rewards) / captions_in_batch
        return {"cider": loss + tf.stop_gradient(value - loss)}, captions, (log_probs, attention)


class CiderReward(CiderScorer):
    """CIDEr-D of captions against references of their images, all as ids, by the document frequencies of a corpus.

    END is a word like any other, so that a caption which does not know how to end is worth less; PAD is none. The unknown
    word of a caption is in no reference.

    Args:
        corpus: for each image a list of captions, lists of ids.

    Reference: Vedantam et al. 2015, "CIDEr", section 5; the arithmetic is pycocoevalcap's.
    """

    def __init__(self, corpus):
        super().__init__()
        self._images = 0
        self.document_frequency = collections.Counter()  # a defaultdict would keep every n-gram that is ever asked for
        for captions in corpus:
            self._images += 1
            self.document_frequency.update({gram for counts in cook_refs(map(_as_text, captions)) for gram in counts})

    # pycocoevalcap sets it to the log of how many captions are scored.
    ref_len = property(lambda self: np.log(self._images), lambda self, value: None)

    def __call__(self, captions, references):
        """captions int [B, K, T], references int [B, N, T′] → float32 [B, K], 1 being 100%; zero where there are none."""
        self.ctest, self.crefs = [], []
        for samples, truths in zip(captions, references):
            truths = cook_refs([text for text in map(_as_text, truths) if text])
            for tested in cook_refs(map(_as_text, np.where(samples == UNKNOWN, -1, samples))):
                self.ctest.append(tested)
                self.crefs.append(truths or [{}])
        return np.array(self.compute_cider(), np.float32).reshape(captions.shape[:2])


def build_objective(experiment, data, vocabulary):
    """The objective that `train.objective` names.

    Args:
        experiment: a `config.Experiment`. data: a `PreparedData`, whose training captions are the corpus of CIDEr-D.
    """
    config = experiment.train
    if config.objective == "likelihood":
        return Likelihood()
    images = [captions.tolist() for _, captions in read_captions(data, "train")]
    flat = [caption for captions in images for caption in captions]
    ids = iter(vocabulary.encode(flat, experiment.data.max_length).to_list())
    corpus = ([next(ids) for _ in captions] for captions in images)
    return SelfCritical(CiderReward(corpus), config.samples, experiment.decoding.max_length)


def _as_text(ids):
    return " ".join(str(each) for each in ids if each != PAD)


def _exists(inputs):
    """bool [B]: whether a row is an image, not one that fills up the batch."""
    return tf.reduce_any(inputs["captions"] != PAD, axis=[1, 2])
