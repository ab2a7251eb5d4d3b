"""METEOR of captions, computed by the Java process that pycocoevalcap starts.

The process is watched, and ended when it is silent for too long. The statistics of each segment are
kept, so that the score of any corpus of these images can be computed without it.
"""

import contextlib
import threading

import numpy as np
from pycocoevalcap.meteor.meteor import Meteor

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
    total = len(captions)
    with progress_bar(total=total, desc="METEOR", unit=" captions", leave=False) as bar:
        process = _WatchedMeteor(patience, bar)
        try:
            value, _ = process.compute_score(references, captions)
        except (ValueError, OSError) as error:  # half an answer, or a broken pipe
            raise UserError(
                f"METEOR's Java process failed ({process.end()}); it needs 2 GB of memory; "
                "leave it out with --metrics bleu,rouge,cider"
            ) from error
        finally:
            process.end()
    statistics = _statistics(np.array(process.segments, np.float64))
    return Score(float(value), statistics, of_sums)


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


class _WatchedMeteor(Meteor):
    """pycocoevalcap's METEOR that keeps the segments' statistics and ends a silent process.

    Args:
        patience: seconds for which the process may be silent.
        bar: a progress bar, updated with each segment.
    """

    def __init__(self, patience, bar):
        super().__init__()
        self.segments = []
        self._patience = patience
        self._bar = bar
        self._silent = False
        self._timer = threading.Timer(0, lambda: None)

    def _stat(self, hypothesis_str, reference_list):
        self._timer.cancel()
        self._timer = threading.Timer(self._patience, self._give_up)
        self._timer.daemon = True
        self._timer.start()
        segment = super()._stat(hypothesis_str, reference_list)
        if not self.segments:
            self._bar.reset()  # the time until the first answer is Java's start
        self.segments.append(segment.split())
        self._bar.update(1)
        return segment

    def _give_up(self):
        self._silent = True
        self.meteor_p.kill()

    def end(self):
        """Ends the process; returns why it may have failed."""
        self._timer.cancel()
        # A computation that failed holds the lock, and pycocoevalcap's __del__ would wait for it
        # forever.
        if self.lock.locked():
            self.lock.release()
        self.meteor_p.kill()
        with contextlib.suppress(OSError):
            self.meteor_p.stdin.close()
        errors = self.meteor_p.stderr.read().decode(errors="replace")
        self.meteor_p.wait()
        if self._silent:
            return f"no answer for {self._patience} seconds"
        first_line = errors.strip().partition("\n")[0]
        return first_line or "without a word"
