"""`CaptionClient`: asks TensorFlow Serving or `keras-sat serve` for captions."""

import random
import time

import grpc
import numpy as np

from serving.client import messages
from serving.client.answers import attention_answer, caption_answer, score_answer

# The queue is full, the server starts or stops, or the connection is lost. Captioning changes
# nothing on the server, so a request may safely be sent again.
RETRIED = (grpc.StatusCode.UNAVAILABLE,)
_FIRST_PAUSE = 0.1  # seconds
_LONGEST_PAUSE = 5.0  # seconds


def open_channel(server, root_certificates=None, api=grpc, proxy=False):
    """Opens a channel of `grpc` or `grpc.aio`.

    Args:
        server: host:port.
        root_certificates: as for `CaptionClient`.
        api: the module `grpc` or `grpc.aio`.
        proxy: as for `CaptionClient`.
    """
    options = [
        ("grpc.enable_http_proxy", int(proxy)),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_reconnect_backoff_ms", int(1000 * _LONGEST_PAUSE)),
    ]
    if root_certificates is None:
        return api.insecure_channel(server, options)
    credentials = grpc.ssl_channel_credentials(root_certificates or None)
    return api.secure_channel(server, credentials, options)


def token_metadata(token=None):
    """The metadata that carries a token with a call."""
    return [("authorization", f"Bearer {token}")] if token else []


class CaptionClient:
    """Sends pictures to a server in requests of bounded size, and retries where that may help.

    A call that fails with a status in `RETRIED` is repeated after a random pause of up to 0.1 s.
    The limit doubles with each attempt, up to 5 s, and there are attempts as long as the deadline
    allows. Every method raises grpc.RpcError with the last failure.

    Args:
        server: host:port.
        model: the model's name on the server.
        version: the version's number (default: the newest).
        label: the version's label, in place of its number.
        deadline: seconds for a request, all attempts together.
        batch: images per request. The server splits and joins requests as its batches need it.
        megabytes: total size of a request's images; keep it below the server's limit.
        root_certificates: PEM bytes for TLS, or b"" to trust the system's authorities, or None for
            plain text.
        token: sent as `authorization: Bearer …`.
        proxy: whether to go through the proxy that grpc_proxy, https_proxy or http_proxy names.
            gRPC would by default, even to this machine itself.

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
        proxy=False,
    ):
        self._spec = messages.model_spec(model, version, label)
        self._deadline = deadline
        self._batch = batch
        self._max_bytes = megabytes << 20
        self._metadata = token_metadata(token)
        self._channel = open_channel(server, root_certificates, proxy=proxy)
        self._stub = messages.PredictionServiceStub(self._channel)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._channel.close()

    def caption(self, images, boxes=None):
        """Captions images.

        Args:
            images: JPEG, PNG, GIF or BMP bytes.
            boxes: for captioners of object proposals, float [m, 4] for each image (ymin, xmin,
                ymax, xmax, as fractions of the picture's size), the strongest first. Boxes beyond
                the model's number are left out.

        Returns:
            One `CaptionAnswer` per image.
        """
        rows = self._ask("serving_default", images, boxes)
        return [caption_answer(row) for row in rows]

    def attend(self, images, boxes=None):
        """Captions images, with the attention for each word.

        Args:
            images: as for `caption`.
            boxes: as for `caption`.

        Returns:
            One `AttentionAnswer` per image.
        """
        rows = self._ask("caption_with_attention", images, boxes)
        return [attention_answer(row) for row in rows]

    def score(self, images, captions, boxes=None):
        """Scores one given caption per image.

        Args:
            images: as for `caption`.
            captions: one string per image.
            boxes: as for `caption`.

        Returns:
            One `ScoreAnswer` per image.
        """
        encoded = [text.encode() for text in captions]
        rows = self._ask("score_caption", images, boxes, caption=encoded)
        return [score_answer(row) for row in rows]

    def inputs(self, signature="serving_default"):
        """Returns {input: shape} of a signature; a size that is not fixed is -1."""
        request = messages.metadata_request(self._spec)
        response = self._call(self._stub.GetModelMetadata, request)
        inputs = messages.signatures(response)[signature].inputs
        return {name: [dim.size for dim in info.tensor_shape.dim] for name, info in inputs.items()}

    def _ask(self, signature, images, boxes, **others):
        """Returns {output: array} for each image."""
        inputs = {"image_bytes": images, **others}
        if boxes is not None:
            shapes = self.inputs(signature)
            if "boxes" not in shapes:
                raise ValueError(f"{self._spec.name}: its captioner takes no boxes; leave them out")
            number = shapes["boxes"][1]
            inputs["boxes"] = [_padded(each, number) for each in boxes]
        rows = []
        for chosen in self._requests(images):
            part = {name: [values[i] for i in chosen] for name, values in inputs.items()}
            request = messages.predict_request(self._spec, signature, part)
            rows += messages.rows(self._call(self._stub.Predict, request))
        return rows

    def _requests(self, images):
        """Yields the range of images of each request."""
        first = 0
        size = 0
        for index, image in enumerate(images):
            is_full = index - first >= self._batch or size + len(image) > self._max_bytes
            if is_full and index > first:
                yield range(first, index)
                first = index
                size = 0
            size += len(image)
        if images:
            yield range(first, len(images))

    def _call(self, method, request):
        end = time.monotonic() + self._deadline
        longest_pause = _FIRST_PAUSE
        while True:
            try:
                return method(request, timeout=end - time.monotonic(), metadata=self._metadata)
            except grpc.RpcError as error:
                pause = random.uniform(0, longest_pause)
                if error.code() not in RETRIED or time.monotonic() + pause >= end:
                    raise
                time.sleep(pause)
                longest_pause = min(2 * longest_pause, _LONGEST_PAUSE)


def _padded(boxes, number):
    """The first boxes, padded with zeros at the end: [m, 4] → [number, 4]."""
    kept = boxes[:number]
    return np.pad(kept, [(0, number - len(kept)), (0, 0)])
