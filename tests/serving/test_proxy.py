"""The client where the environment names a proxy."""

import socket

import pytest

from serving.client import CaptionClient
from serving.client.__main__ import main
from tests.support.saved_model import picture


@pytest.fixture
def proxy(monkeypatch):
    """The URL of a proxy that never answers, named by the environment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"  # bound, but nobody listens
        for name in ("grpc_proxy", "https_proxy", "no_proxy", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", url)
        yield url


def test_the_client_goes_through_no_proxy(server, proxy):
    with CaptionClient(server.address, deadline=20) as client:
        [answer] = client.caption([picture(1)])
    assert answer.status == "OK"


def test_a_proxy_that_is_asked_for_is_used_and_named(server, proxy, tmp_path, capsys):
    path = tmp_path / "picture.png"
    path.write_bytes(picture(1))
    arguments = [str(path), "--server", server.address, "--deadline", "1"]
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--proxy"])
    assert caught.value.code == 2
    assert f"{server.address}, through the proxy {proxy}: UNAVAILABLE" in capsys.readouterr().err
