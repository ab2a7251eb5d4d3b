"""The captioners behind the page, each a model of a server that is asked over gRPC."""

import grpc

from serving.client.client import CaptionClient
from serving.client.connection import described
from serving.web.limits import Refusal

# Statuses of gRPC in words; what else a server answers is its own words.
_WORDS = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "The captioner took too long. Try again, or later.",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "The captioner has too much to do. Try again in a moment.",
    grpc.StatusCode.UNAUTHENTICATED: "The captioner's server wants a token: start the page with "
    "--token-file.",
    grpc.StatusCode.NOT_FOUND: "The server has no such model: start the page with its --model.",
    grpc.StatusCode.CANCELLED: "The request was cancelled. Try again.",
}
_BUSY = "The captioner is busy: its queue is full. Try again in a moment."


class Captioner:
    """A captioner of the page.

    Args:
        name: shown on the page.
        options: arguments of `CaptionClient`.
        settings: {name: value} of its decoding settings; empty where they are not known.
    """

    def __init__(self, name, options, settings):
        self.name = name
        self.settings = settings
        self._address = described(options)
        self._client = CaptionClient(**options)

    def caption(self, picture):
        """Captions a picture.

        Args:
            picture: bytes of a JPEG, PNG, GIF or BMP.

        Returns:
            An `AttentionAnswer`.

        Raises:
            Refusal: in words, whatever the server answers.
        """
        return self._ask(self._client.attend, [picture])

    def score(self, picture, caption):
        """Scores a given caption.

        Returns:
            A `ScoreAnswer`, and the boxes of its attention, float [L, 4].

        Raises:
            Refusal: as for `caption`.
        """
        answer = self._ask(self._client.score, [picture], [caption])
        # Scores come without boxes, which may differ from picture to picture.
        return answer, self.caption(picture).boxes

    def _ask(self, method, *arguments):
        try:
            [answer] = method(*arguments)
        except grpc.RpcError as error:
            raise Refusal(503, self._in_words(error)) from error
        if answer.status != "OK":
            raise Refusal(422, f"This file cannot be captioned: {answer.status}.")
        return answer

    def _in_words(self, error):
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            if "queue" in error.details():
                return _BUSY
            return f"No answer from {self._address}: the captioner's server is stopped or starts."
        if "boxes" in error.details():
            return "This captioner needs object proposals, which the page cannot make."
        code = error.code()
        return _WORDS.get(code, f"The captioner's server answered {code.name}: {error.details()}")
