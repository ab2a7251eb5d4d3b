"""METEOR of captions, computed by the Java program that pycocoevalcap brings.

The statistics of each segment are kept, so that the score of any corpus of these images can be
computed without the program.
"""

import numpy as np

from keras_sat.evaluation import meteor_process
from keras_sat.evaluation.resampling import Score
from keras_sat.utils.errors import UserError
from keras_sat.utils.progress import progress_bar

# METEOR 1.5's parameters for English.
_ALPHA = 0.85
_BETA = 0.2
_GAMMA = 0.6
_DELTA = 0.75
_MATCHER_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])  # exact, stem, synonym and paraphrase matches
_WORD_WEIGHTS = np.array([_DELTA, 1 - _DELTA])  # content words, function words


def meteor(references, captions, patience=300):
    """Scores captions with METEOR.

    Args:
        references: {image: [caption, …]}, tokenised.
        captions: {image: [caption]}, tokenised.
        patience: seconds for which the process may be silent before it is ended; its start counts.
    Returns:
        A `Score`.
    Raises:
        UserError: the process failed or was ended.
    """
    with progress_bar(total=len(captions), desc="METEOR", unit=" captions", leave=False) as bar:
        try:
            value, segments = meteor_process.measure(references, captions, patience, bar)
        except meteor_process.Failure as failure:
            raise UserError(
                f"METEOR's Java process failed ({failure}); it needs 2 GB of memory; "
                "leave it out with --metrics bleu,rouge,cider"
            ) from failure
    statistics = _statistics(np.array(segments, np.float64))
    return Score(value, statistics, of_sums)


def of_sums(sums):
    """METEOR of a corpus, which is not the mean of its segments' scores.

    Args:
        sums: [..., 6], the sums of what `_statistics` returns for the segments.
    Returns:
        [...].
    Reference:
        Denkowski & Lavie 2014, "Meteor universal", section 2.
    """
    matched = sums[..., :2]  # of the caption, of the reference
    length = sums[..., 2:4]
    chunks = sums[..., 4]
    words = sums[..., 5]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = np.moveaxis(matched / length, -1, 0)
        mean = precision * recall / (_ALPHA * precision + (1 - _ALPHA) * recall)
        fragmentation = chunks / words
        return np.nan_to_num(mean * (1 - _GAMMA * fragmentation**_BETA))


def _statistics(segments):
    """The statistics of segments that are summed over a corpus.

    Args:
        segments: [images, 23], as the process prints them: the lengths of caption and reference;
            their numbers of function words; for each of the four matchers the matched content words
            of both and the matched function words of both; the number of chunks; the matched words
            of both.
    Returns:
        [images, 6]: the weighted matches of caption and reference, the weighted lengths of both,
        the number of chunks, the number of matched words.
    """
    lengths = segments[:, :2]
    function_words = segments[:, 2:4]
    matches = np.reshape(segments[:, 4:20], [-1, 4, 2, 2])  # [images, matcher, word class, side]
    chunks = segments[:, 20]
    matched_words = segments[:, 21:]
    weighted_matches = np.einsum("imws,m,w->is", matches, _MATCHER_WEIGHTS, _WORD_WEIGHTS)
    weighted_lengths = _DELTA * (lengths - function_words) + (1 - _DELTA) * function_words
    # A perfect segment has no penalty, alone or in a corpus.
    perfect = np.all(matched_words == lengths, axis=1) & (chunks == 1)
    chunks = np.where(perfect, 0, chunks)
    return np.column_stack([weighted_matches, weighted_lengths, chunks, matched_words.mean(axis=1)])
