"""METEOR by pycocoevalcap's Java process, which is watched and ended here, and the corpus' score of its statistics."""

import contextlib
import threading

import numpy as np
from pycocoevalcap.meteor.meteor import Meteor

from keras_sat.evaluation.resampling import Score
from keras_sat.utils.errors import UserError
from keras_sat.utils.progress import progress_bar

# English, as METEOR 1.5 was tuned: exact, stem, synonym and paraphrase matches; content words against function words.
_MATCHERS = np.array([1.0, 0.6, 0.8, 0.6])
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_WORDS = np.array([_DELTA, 1 - _DELTA])


def meteor(references, captions, patience=300):
    """The `Score` of captions {image: [caption]} with references {image: [caption, …]}, tokenised.

    Args:
        patience: seconds for which the process may be silent before it is ended; its start counts too.
    Raises:
        UserError: it could not run to the end.
    """
    with _process(patience, len(captions)) as scorer:
        value, _ = scorer.compute_score(references, captions)
    return Score(float(value), _summands(np.array(scorer.segments, np.float64)), of_sums)


def of_sums(sums):
    """METEOR of sums [..., 6] of what `_summands` makes of segments; a corpus' is not the mean of its segments'.

    Reference: Denkowski & Lavie 2014, "Meteor universal", section 2.
    """
    matched, length = sums[..., :2], sums[..., 2:4]  # of the caption, of the reference
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = np.moveaxis(matched / length, -1, 0)
        mean = precision * recall / (_ALPHA * precision + (1 - _ALPHA) * recall)
        fragmentation = sums[..., 4] / sums[..., 5]
        return np.nan_to_num(mean * (1 - _GAMMA * fragmentation**_BETA))


def _summands(segments):
    """Segments as the process describes them [images, 23] to what is summed over a corpus [images, 6]:
    weighted matches and weighted lengths, both of caption and reference; chunks; matched words.

    A segment comes as the lengths and the function words of both, the matches of each of four matchers (content words of
    both, function words of both), chunks, and the matched words of both.
    """
    lengths, function, chunks, words = (
        segments[:, :2],
        segments[:, 2:4],
        segments[:, 20],
        segments[:, 21:],
    )
    matches = np.reshape(
        segments[:, 4:20], [-1, 4, 2, 2]
    )  # [images, matcher, content or function, caption or reference]
    weighted = np.einsum("imws,m,w->is", matches, _MATCHERS, _WORDS)
    weighted_lengths = _DELTA * (lengths - function) + (1 - _DELTA) * function
    perfect = np.all(words == lengths, axis=1) & (
        chunks == 1
    )  # has no penalty, alone or in a corpus
    return np.column_stack(
        [weighted, weighted_lengths, np.where(perfect, 0, chunks), words.mean(axis=1)]
    )


class _Watched(Meteor):
    """pycocoevalcap's METEOR, which keeps the segments' statistics and is ended when it falls silent."""

    def __init__(self, patience, bar):
        super().__init__()
        self.segments = []
        self._patience, self._bar, self._silent = patience, bar, False
        self._timer = threading.Timer(0, lambda: None)

    def _stat(self, hypothesis_str, reference_list):
        self._timer.cancel()
        self._timer = threading.Timer(self._patience, self._give_up)
        self._timer.daemon = True
        self._timer.start()
        segment = super()._stat(hypothesis_str, reference_list)
        self.segments.append(segment.split())
        self._bar.update(1)
        return segment

    def _give_up(self):
        self._silent = True
        self.meteor_p.kill()

    def end(self):
        """Ends the process; returns why it may have failed."""
        self._timer.cancel()
        if (
            self.lock.locked()
        ):  # by a computation that failed: pycocoevalcap's __del__ would wait for it for ever
            self.lock.release()
        self.meteor_p.kill()
        with contextlib.suppress(OSError):
            self.meteor_p.stdin.close()
        said = self.meteor_p.stderr.read().decode(errors="replace").strip().partition("\n")[0]
        self.meteor_p.wait()
        return (
            f"no answer for {self._patience} seconds" if self._silent else said or "without a word"
        )


@contextlib.contextmanager
def _process(patience, images):
    with progress_bar(total=images, desc="METEOR", unit=" captions", leave=False) as bar:
        scorer = _Watched(patience, bar)
        try:
            yield scorer
        except (ValueError, OSError) as error:  # half an answer, or a broken pipe
            raise UserError(
                f"METEOR's Java process failed ({scorer.end()}); it needs 2 GB of memory; "
                "leave it out with --metrics bleu,rouge,cider"
            ) from error
        finally:
            scorer.end()
