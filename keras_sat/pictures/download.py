"""Pictures behind a URL: http and https only, with limits on size and total time.

It imports no TensorFlow.
"""

import queue
import threading
import urllib.error
import urllib.request

from keras_sat.utils.errors import UserError

SCHEMES = ("http", "https")
SECONDS = 30  # for a download as a whole
_BLOCK = 1 << 16
# Some sites refuse Python's own name.
_HEADERS = {"User-Agent": "Mozilla/5.0 (compatible; keras_sat)"}
# urllib's usual openers also follow a redirection to ftp, and open file: and data: URLs.
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.UnknownHandler,
)


def download(url, max_bytes, seconds=SECONDS):
    """The content of a URL.

    Args:
        url: it begins with http:// or https://, and so do those that it is redirected to.
        max_bytes: content that is longer is cut off after one byte more.
        seconds: for everything together, names and redirections included.

    Raises:
        UserError: why there is no content, without the URL.
    """
    outcomes = queue.Queue()

    def work():
        try:
            outcomes.put((_read(url, max_bytes, seconds), None))
        except Exception as error:
            outcomes.put((b"", error))

    # A server may send a byte now and then for ever: timeouts of sockets do not end that. The
    # thread is left to itself, and does not keep the process from ending.
    threading.Thread(target=work, daemon=True).start()
    try:
        content, error = outcomes.get(timeout=seconds)
    except queue.Empty:
        raise UserError(f"not complete after {seconds} seconds") from None
    if isinstance(error, urllib.error.HTTPError):
        raise UserError(f"HTTP status {error.code}: {error.reason}") from error
    if error is not None:
        raise UserError(_reason(error)) from error
    return content


def _reason(error):
    reason = getattr(error, "reason", None) or error  # of a URLError
    return str(getattr(reason, "strerror", None) or reason)


def _read(url, max_bytes, seconds):
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    content = bytearray()
    with opener.open(urllib.request.Request(url, headers=_HEADERS), timeout=seconds) as response:
        while len(content) <= max_bytes:
            block = response.read(min(_BLOCK, max_bytes + 1 - len(content)))
            if not block:
                break
            content += block
    return bytes(content)
