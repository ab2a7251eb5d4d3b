"""Connections on which nothing happens, and what others notice of them.

IDLE_CONNECTIONS=1000 tries as many as that on every port, in place of 100.
"""

import asyncio
import contextlib
import os
import resource
import socket
import statistics
import time
import urllib.request

import pytest

from serving.client import CaptionClient
from serving.server import metrics_page
from serving.server.__main__ import _parser
from serving.server.metrics import Metrics
from serving.server.metrics_page import MetricsPage
from serving.server.serve import _serve_metrics
from tests.support.saved_model import picture
from tests.support.server_process import running

NUMBER = int(os.environ.get("IDLE_CONNECTIONS", "100"))
# What a client says first in HTTP/2: the preface, and an empty SETTINGS frame.
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@contextlib.contextmanager
def idle(address, count, first=b""):
    """Open connections that say nothing but `first`."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(address, timeout=30))
            connection.sendall(first)
        yield


def seconds(call, count=20):
    """The median time that a call takes."""
    taken = []
    for _ in range(count):
        started = time.monotonic()
        call()
        taken.append(time.monotonic() - started)
    return statistics.median(taken)


def test_idle_connections_on_every_port_slow_nobody_down(models):
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    images = [picture(1)]
    with (
        running("--model-base-path", models / "captioner") as server,
        contextlib.ExitStack() as open_,
    ):
        host, port = server.address.rsplit(":", 1)
        metrics = server.metrics_url.removeprefix("http://").rsplit(":", 1)

        def scrape():
            # A connection of its own each time, as Prometheus may.
            with urllib.request.urlopen(server.metrics_url + "/metrics", timeout=30) as page:
                assert b"serving_requests" in page.read()

        def caption():
            with CaptionClient(server.address) as client:  # so that it has to be let in
                assert client.caption(images)[0].status == "OK"

        caption()
        usual = (seconds(caption), seconds(scrape))
        for address, first in (((host, int(port)), HTTP2), ((host, int(port)), b"")):
            open_.enter_context(idle(address, NUMBER, first))
        open_.enter_context(idle((metrics[0], int(metrics[1])), NUMBER))
        beside = (seconds(caption), seconds(scrape))
        print(f"{NUMBER} idle on each port; usual {usual}, beside them {beside}")
        for before, now in zip(usual, beside):
            assert now < 2 * before + 0.02  # what the machine's other work may add
        threads = len(os.listdir(f"/proc/{server.process.pid}/task"))
        assert threads < 100, "a connection has no thread of its own"
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


def served(test, monkeypatch, **limits):
    """Runs `await test(port)` beside a page of metrics with small limits."""
    for name, value in limits.items():
        monkeypatch.setattr(metrics_page, name, value)

    async def run():
        server = await MetricsPage(lambda: b"number 1\n").serve("127.0.0.1", 0)
        async with server:
            await test(server.sockets[0].getsockname()[1])

    asyncio.run(run())


async def ask(port, request=b"GET /metrics HTTP/1.1\r\n\r\n"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


def test_the_page_answers_and_closes(monkeypatch):
    async def test(port):
        answer = await ask(port)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\nnumber 1\n")
        assert (await ask(port, b"HEAD / HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
        assert (await ask(port, b"POST / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
        assert await ask(port, b"GET /" + b"a" * 100_000 + b"\r\n\r\n") == b""

    served(test, monkeypatch)


def test_an_idle_connection_is_closed_in_time(monkeypatch):
    async def test(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HT")
        assert await asyncio.wait_for(reader.read(), 5) == b""

    served(test, monkeypatch, _SECONDS=0.2)


def test_beyond_the_bound_the_oldest_connection_is_closed(monkeypatch):
    async def test(port):
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        await asyncio.sleep(0.1)
        for reader, _ in connections[:2]:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        assert (await ask(port)).startswith(b"HTTP/1.1 200 OK")
        for reader, _ in connections[3:]:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(reader.read(), 0.1)

    served(test, monkeypatch, _CONNECTIONS=3)


def test_the_metrics_stay_on_this_machine_whatever_the_host(monkeypatch):
    args = _parser().parse_args(["--host", "0.0.0.0", "--insecure", "--metrics-port", "0"])

    async def run():
        server = await _serve_metrics(Metrics(), args)
        async with server:
            return server.sockets[0].getsockname()[0]

    assert asyncio.run(run()) == "127.0.0.1"
