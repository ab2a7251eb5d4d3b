"""What clients send does not reach the log as it is."""

import io
import logging

import grpc
import pytest

from serving.client.messages import model_spec, predict_request
from serving.server.log import Formatter, escaped
from tests.support.saved_model import picture

FORGED = "x\n2026-01-01 00:00:00,000 Predict 'captioner' OK\x1b[2J\u2028\x85\x00"


def logged(log):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter("%(asctime)s %(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    log(logger)
    return stream.getvalue()


def test_a_record_is_one_line_of_printable_characters():
    [line] = logged(lambda logger: logger.info("model %s", FORGED)).splitlines()
    assert line.isprintable() and r"x\n2026" in line and r"\x1b[2J" in line
    assert escaped("größe 図") == "größe 図"


def test_the_lines_of_a_traceback_are_indented():
    def log(logger):
        try:
            raise ValueError(FORGED)
        except ValueError:
            logger.exception("failed")

    first, *others = logged(log).splitlines()
    assert first.endswith("failed")
    assert others and all(line.startswith("    ") and line.isprintable() for line in others)


def test_a_client_writes_no_lines_of_its_own(server, stub):
    request = predict_request(model_spec(FORGED), "serving_default", {"image_bytes": [picture(1)]})
    with pytest.raises(grpc.RpcError):
        stub.Predict(request)
    server.wait_for("serving_requests_in_flight", 0)
    # The next request's line comes after the one that is looked for.
    with pytest.raises(grpc.RpcError):
        stub.Predict(predict_request(model_spec("none"), "serving_default", {}))
    while not any("'none/" in line or "'none'" in line for line in server.log):
        assert server.process.poll() is None
    assert any("2J" in line for line in server.log)
    for line in server.log:
        assert line.rstrip("\n").isprintable(), line
        assert not line.startswith("2026-01-01")
