"""What every captioner of pictures offers, whatever it was loaded from."""

import abc
from collections.abc import Iterator

from keras_sat.api.answer import Answer
from keras_sat.utils.errors import UserError


class PictureCaptioner(abc.ABC):
    """Captions pictures; `keras_sat.load` gives one.

    Example:
        captioner = keras_sat.load("runs/scenes_soft")
        answer = captioner("boat.jpg")
        print(answer.caption, answer.score)
    """

    def __call__(self, picture, **decoding):
        """Captions a picture, or each of a list.

        Args:
            picture: a path or URL; the bytes of a file; a PIL image; an array uint8 [H, W, 3]; or a
                list or tuple of these.
            decoding: settings of `keras_sat.config.Decoding` for this call, such as `beam=5`.

        Returns:
            An `Answer`, or a list of them.

        Raises:
            UserError: a picture cannot be read; it names the picture and says why.
        """
        captioner = self.with_decoding(**decoding) if decoding else self
        several = isinstance(picture, list | tuple)
        answers = []
        for outcome in captioner.stream(picture if several else [picture]):
            if isinstance(outcome, UserError):
                raise outcome
            answers.append(outcome)
        return answers if several else answers[0]

    def score(self, picture, caption):
        """The log-probability of a given caption of a picture, or of each of a list.

        Args:
            picture: as for a call.
            caption: a string, or one for each picture of a list.

        Returns:
            A float, or a list of them.

        Raises:
            UserError: as for a call; a caption that is too long; other than one caption each.
        """
        if not isinstance(picture, list | tuple):
            return self._score(picture, caption)
        if isinstance(caption, str) or len(caption) != len(picture):
            raise UserError(f"score: expected {len(picture)} captions, one for each picture")
        return [self._score(*pair) for pair in zip(picture, caption)]

    @abc.abstractmethod
    def stream(self, pictures) -> Iterator[Answer | UserError]:
        """Captions pictures as they are asked for, in batches that memory holds.

        Args:
            pictures: an iterable of pictures, as for a call.

        Yields:
            An `Answer` for each picture, or the `UserError` that says why there is none.
        """

    @abc.abstractmethod
    def with_decoding(self, **decoding) -> "PictureCaptioner":
        """The same captioner with other settings of `keras_sat.config.Decoding`.

        Raises:
            UserError: an unknown setting, or a value out of range.
        """

    @abc.abstractmethod
    def evaluate(self, data=None, split="test", metrics=None, limit=0):
        """Captions and scores a split of a prepared data set; no file is written.

        Args:
            data: a prepared data set's folder, or a `PreparedData` (default: the one that the run
                was trained on).
            split: train, val or test.
            metrics: names, see `keras_sat.evaluation.scorers` (default: those of
                `keras-sat evaluate`).
            limit: the number of images, from the first (0 = all).

        Returns:
            A `keras_sat.evaluation.evaluation.Evaluation`: `.values` are its scores and
            `.intervals` their 95% confidence intervals.

        Raises:
            UserError: another vocabulary or encoder than the captioner's; no such split or metric.
        """

    @abc.abstractmethod
    def _score(self, picture, caption): ...
