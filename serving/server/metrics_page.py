"""The page with the metrics: HTTP without threads, so that idle connections cost little."""

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST

_CONNECTIONS = 64  # at the same time
_SECONDS = 10  # that a connection may take in all
_REQUEST_BYTES = 16 << 10
_PATHS = (b"/metrics", b"/monitoring/prometheus/metrics")  # the second is TensorFlow Serving's


class MetricsPage:
    """Answers a GET of /metrics, or of TensorFlow Serving's path, and then closes the connection.

    When there are too many connections, the oldest is closed: whoever opens connections and says
    nothing does not keep out the next request.

    Args:
        render: called for the page's bytes.
    """

    def __init__(self, render):
        self._render = render
        self._open = {}  # {task: None}, the oldest first

    async def serve(self, host, port):
        """Starts to serve.

        Returns:
            The asyncio.Server, which the caller closes.

        Raises:
            OSError: the address is taken or none of this machine's.
        """
        return await asyncio.start_server(self._answer, host, port, limit=_REQUEST_BYTES)

    async def _answer(self, reader, writer):
        task = asyncio.current_task()
        self._open[task] = None
        if len(self._open) > _CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.cancel()
        try:
            await asyncio.wait_for(self._exchange(reader, writer), _SECONDS)
        except (asyncio.TimeoutError, asyncio.CancelledError):
            pass  # it was idle
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass  # it was lost, or its request was too long
        finally:
            self._open.pop(task, None)
            writer.close()

    async def _exchange(self, reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        method, target, *_ = [*request.split(b" ", 2), b""]
        status = _status(method, target.partition(b"?")[0])
        page = self._render() if status == "200 OK" else b""
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\n"
            f"Content-Length: {len(page)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + (b"" if method == b"HEAD" else page))
        await writer.drain()


def _status(method, path):
    if method not in (b"GET", b"HEAD"):
        return "405 Method Not Allowed"
    return "200 OK" if path in _PATHS else "404 Not Found"
