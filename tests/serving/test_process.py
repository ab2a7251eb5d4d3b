"""A server that runs for as long as a `with` block."""

import urllib.request

import pytest

from serving.process import ServerProcess


def test_it_ends_with_the_block_however_that_ends(models):
    with pytest.raises(KeyboardInterrupt), ServerProcess(models / "rolling") as server:
        assert urllib.request.urlopen(f"{server.metrics}/metrics").status == 200
        raise KeyboardInterrupt
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{server.metrics}/metrics")


def test_one_that_does_not_start_says_why(tmp_path, models):
    message = f"code 2 before it served: error: {tmp_path}: holds no version"
    with pytest.raises(ValueError, match=message):
        ServerProcess(tmp_path)
    with pytest.raises(ValueError, match="code -9 before it served"):
        ServerProcess(models / "rolling", seconds=0.01)
