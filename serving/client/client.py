"""The client of a captioner that TensorFlow Serving or `serving.server` serves, as a class and as a command.

python -m serving.client IMAGE… --server localhost:8500
"""

import random
import time
from typing import NamedTuple

import grpc
import numpy as np

# A full queue, a server that starts or stops, a lost connection. Captioning changes nothing, so asking twice does no harm.
RETRIED = (grpc.StatusCode.UNAVAILABLE,)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds


def open_channel(server, root_certificates=None, api=grpc):
    """A channel of `grpc` or `grpc.aio`; arguments as `CaptionClient`'s."""
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_reconnect_backoff_ms", int(1000 * _LONGEST_PAUSE)),
    ]
    if root_certificates is None:
        return api.insecure_channel(server, options)
    return api.secure_channel(
        server, grpc.ssl_channel_credentials(root_certificates or None), options
    )


def token_metadata(token=None):
    return [("authorization", f"Bearer {token}")] if token else []


class Captioned(NamedTuple):
    """caption: str. score: its log-probability, as the model scores. status: OK, or why there is no caption."""

    caption: str
    score: float
    status: str


class Attended(NamedTuple):
    """captions: K strings, the best first. scores: float [K]. words: T strings of the best. attention: float [T, L].
    boxes: float [L, 4] (ymin, xmin, ymax, xmax), as shares of the picture. status: OK, or why there is no caption."""

    captions: list
    scores: np.ndarray
    words: list
    attention: np.ndarray
    boxes: np.ndarray
    status: str


class Scored(NamedTuple):
    """word_log_probs: float [T]. words: T strings. attention: float [T, L]. status: OK, or why there is none."""

    word_log_probs: np.ndarray
    words: list
    attention: np.ndarray
    status: str


class CaptionClient:
    """Asks a server, in requests of bounded size; asks again where that may help.

    Calls that fail with `RETRIED` are repeated after a random pause of up to 0.1 s, doubled each time up to 5 s, as long as
    the deadline allows. Every method raises grpc.RpcError with the last failure.

    Args:
        server: host:port. model: its name there. version, label: which one (default: the newest).
        deadline: seconds for a request, all attempts together.
        batch: images a request; the server splits and joins requests as its batches need it.
        megabytes: of images a request, below the server's limit.
        root_certificates: PEM bytes for TLS; b"" trusts the system's authorities; None is plain text.
        token: sent as `authorization: Bearer …`.
    Example:
        with CaptionClient("localhost:8500") as client:
            [answer] = client.caption([Path("picture.jpg").read_bytes()])
            print(answer.caption)
    """

    def __init__(
        self,
        server="localhost:8500",
        model="captioner",
        version=None,
        label=None,
        deadline=60.0,
        batch=16,
        megabytes=32,
        root_certificates=None,
        token=None,
    ):
        from serving.client import messages  # imports tensorflow, which `--help` does without

        self._messages, self._spec = messages, messages.model_spec(model, version, label)
        self._deadline, self._batch, self._most_bytes = deadline, batch, megabytes << 20
        self._metadata = token_metadata(token)
        self._channel = open_channel(server, root_certificates)
        self._stub = messages.PredictionServiceStub(self._channel)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._channel.close()

    def caption(self, images, boxes=None):
        """A `Captioned` an image.

        Args:
            images: JPEG, PNG, GIF or BMP bytes. boxes: of each image float [m, 4] (ymin, xmin, ymax, xmax, as shares of the
            picture), the strongest first, for captioners of object proposals; what is beyond the model's number is left out.
        """
        answers = self._ask("serving_default", images, boxes)
        return [
            Captioned(a["caption"].decode(), float(a["score"]), a["status"].decode())
            for a in answers
        ]

    def attend(self, images, boxes=None):
        """An `Attended` an image; arguments as `caption`'s."""
        answers = self._ask("caption_with_attention", images, boxes)
        return [
            Attended(
                _texts(a["captions"]),
                a["scores"],
                words,
                a["attention"][: len(words)],
                a["boxes"],
                a["status"].decode(),
            )
            for a in answers
            for words in [_words(a["words"])]
        ]

    def score(self, images, captions, boxes=None):
        """A `Scored` an image and its caption, a string; other arguments as `caption`'s."""
        answers = self._ask(
            "score_caption", images, boxes, caption=[text.encode() for text in captions]
        )
        return [
            Scored(
                a["word_log_probs"][: len(words)],
                words,
                a["attention"][: len(words)],
                a["status"].decode(),
            )
            for a in answers
            for words in [_words(a["words"])]
        ]

    def inputs(self, signature="serving_default"):
        """{input: shape, -1 where it is open} of a signature."""
        response = self._call(
            self._stub.GetModelMetadata, self._messages.metadata_request(self._spec)
        )
        inputs = self._messages.signatures(response)[signature].inputs
        return {name: [dim.size for dim in info.tensor_shape.dim] for name, info in inputs.items()}

    def _ask(self, signature, images, boxes, **others):
        """{output: array} of each image."""
        inputs = {"image_bytes": images, **others}
        if boxes is not None:
            most = self.inputs(signature)["boxes"][1]
            inputs["boxes"] = [
                np.pad(each[:most], [(0, most - len(each[:most])), (0, 0)]) for each in boxes
            ]
        answers = []
        for chosen in self._requests(images):
            part = {name: [values[i] for i in chosen] for name, values in inputs.items()}
            request = self._messages.predict_request(self._spec, signature, part)
            answers += self._messages.rows(self._call(self._stub.Predict, request))
        return answers

    def _requests(self, images):
        """Ranges of images that go into one request."""
        first = 0
        while first < len(images):
            end, size = first + 1, len(images[first])
            while (
                end < min(len(images), first + self._batch)
                and size + len(images[end]) <= self._most_bytes
            ):
                size, end = size + len(images[end]), end + 1
            yield range(first, end)
            first = end

    def _call(self, method, request):
        end, longest = time.monotonic() + self._deadline, _FIRST_PAUSE
        while True:
            try:
                return method(request, timeout=end - time.monotonic(), metadata=self._metadata)
            except grpc.RpcError as error:
                pause = random.uniform(0, longest)
                if error.code() not in RETRIED or time.monotonic() + pause >= end:
                    raise
                time.sleep(pause)
                longest = min(2 * longest, _LONGEST_PAUSE)


def _texts(array):
    return [text.decode() for text in array]


def _words(array):
    """Without the padding at the end."""
    return [word for word in _texts(array) if word]


if __name__ == "__main__":
    from serving.client.__main__ import main

    main()
