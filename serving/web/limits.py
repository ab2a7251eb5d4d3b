"""What a client of the page may ask for, and the errors that tell it so."""

import io
import time
from typing import NamedTuple

from PIL import Image

from keras_sat.pictures.formats import DECODED, decodable, format_of
from keras_sat.utils.errors import UserError

_CLIENTS = 10_000  # that are remembered; beyond them, those who may ask again are forgotten


class Refusal(Exception):
    """A request that ends in words.

    Args:
        status: of HTTP.
        words: a sentence for the person at the page.
    """

    def __init__(self, status, words):
        super().__init__(words)
        self.status = status


class Limits(NamedTuple):
    """What the page accepts.

    Attributes:
        megabytes: of a picture's file.
        megapixels: of a picture.
        requests_per_minute: of a client, by its address.
        seconds: that an upload may take.
    """

    megabytes: int = 20
    megapixels: int = 32
    requests_per_minute: int = 60
    seconds: float = 60


class RateLimit:
    """A token bucket per client: it holds a minute's requests, and fills up evenly.

    Args:
        per_minute: requests.
        clock: seconds, as time.monotonic.
    """

    def __init__(self, per_minute, clock=time.monotonic):
        self._most = per_minute
        self._per_second = per_minute / 60
        self._clock = clock
        self._buckets = {}  # {client: (tokens, when they were counted)}

    def take(self, client):
        """Takes one request from a client's bucket.

        Raises:
            Refusal: it is empty.
        """
        tokens = self._tokens(client)
        if tokens < 1:
            seconds = max(1, round((1 - tokens) / self._per_second))
            raise Refusal(429, f"Too many requests at once. Try again in {seconds} s.")
        if len(self._buckets) >= _CLIENTS:
            self._forget()
        self._buckets[client] = (tokens - 1, self._clock())

    def _tokens(self, client):
        tokens, counted = self._buckets.get(client, (self._most, self._clock()))
        return min(self._most, tokens + (self._clock() - counted) * self._per_second)

    def _forget(self):
        full = [client for client in self._buckets if self._tokens(client) >= self._most]
        for client in full or list(self._buckets)[: _CLIENTS // 2]:
            del self._buckets[client]


def usable_picture(content, limits):
    """An uploaded picture in a format that the captioner decodes.

    Args:
        content: the bytes of any file.
        limits: the `Limits`.

    Returns:
        The bytes of a JPEG, PNG, GIF or BMP.

    Raises:
        Refusal: it is no picture, cannot be decoded, or has too many pixels.
    """
    most = limits.megapixels * 1_000_000
    pixels = _pixels(content)
    if pixels > most:
        raise Refusal(
            413,
            f"The picture has {pixels / 1e6:.0f} megapixels; this page takes up to "
            f"{limits.megapixels}. Make it smaller and try again.",
        )
    try:
        return decodable(content, most)
    except UserError as error:
        raise Refusal(422, f"This file cannot be captioned: {error}.") from error


def _pixels(content):
    """The number of pixels that a picture's header tells; 0 where the decoder has to find out."""
    kind = format_of(content)
    if kind not in DECODED:
        return 0
    try:
        with Image.open(io.BytesIO(content), formats=[kind]) as image:
            return image.width * image.height
    except Image.DecompressionBombError as error:
        raise Refusal(413, "The picture has too many pixels. Make it smaller.") from error
    except (OSError, ValueError, SyntaxError):
        return 0
