"""TensorFlow Serving's REST interface of a real server."""

import base64
import json
import random
import urllib.error
import urllib.request

import numpy as np
import pytest

from tests.support import saved_model
from tests.support.mutation import mutated
from tests.support.server_process import running

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

PICTURES = [saved_model.picture(seed) for seed in range(3)]


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    token = tmp_path_factory.mktemp("token") / "token.txt"
    token.write_text("secret")
    options = ("--model-base-path", models / "captioner", "--rest-port", 0, "--token-file", token)
    with running(*options, "--max-message-megabytes", 1) as server:
        yield server


def ask(url, body=None, token="secret"):
    """The status of HTTP and the JSON of an answer."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def predict(server, body, **kwargs):
    return ask(f"{server.rest_url}/v1/models/captioner:predict", body, **kwargs)


def test_a_model_tells_its_state_and_its_signatures(server):
    for path in ("captioner", "captioner/versions/1"):
        status, found = ask(f"{server.rest_url}/v1/models/{path}")
        assert status == 200
        [version] = found["model_version_status"]
        assert (version["version"], version["state"]) == ("1", "AVAILABLE")
        assert version["status"] == {"error_code": "OK", "error_message": ""}
    _, found = ask(f"{server.rest_url}/v1/models/captioner/metadata")
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert set(saved_model.SIGNATURES) <= set(signatures)


def test_rows_and_columns_get_what_the_model_answers(server, direct):
    expected = direct("serving_default", image_bytes=PICTURES)
    captions = [text.decode() for text in expected["caption"]]
    named = [{"image_bytes": b64(each)} for each in PICTURES]
    for rows in (named, [b64(each) for each in PICTURES]):
        status, found = predict(server, {"instances": rows})
        assert status == 200
        assert [row["caption"] for row in found["predictions"]] == captions
        scores = [row["score"] for row in found["predictions"]]
        np.testing.assert_allclose(scores, expected["score"], rtol=1e-6)
    columns = {"image_bytes": [b64(each) for each in PICTURES], "caption": ["red red"] * 3}
    _, found = predict(server, {"signature_name": "score_caption", "inputs": columns})
    expected = direct("score_caption", image_bytes=PICTURES, caption=["red red"] * 3)
    log_probs = found["outputs"]["word_log_probs"]
    np.testing.assert_allclose(log_probs, expected["word_log_probs"], rtol=1e-6)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no JSON", 400),
        (b"[" * 100_000, 400),
        ([1], 400),
        ({"instances": []}, 400),
        ({"instances": [{"b64": "!"}]}, 400),
        ({"instances": [{"nothing": 1}]}, 400),
        ({"instances": [1]}, 400),
        ({"inputs": {"image_bytes": [["a"], "b"]}}, 400),
        ({"signature_name": "nothing", "inputs": {"image_bytes": ["a"]}}, 412),
        (b" " * (2 << 20), 429),
    ],
)
def test_a_wrong_request_gets_a_status_and_words(server, body, status):
    found, answer = predict(server, body)
    assert (found, bool(answer["error"])) == (status, True), answer


def test_the_token_and_the_paths_are_checked_as_for_grpc(server):
    assert predict(server, {"instances": [b64(PICTURES[0])]}, token="wrong")[0] == 401
    assert ask(f"{server.rest_url}/v1/models/captioner", token="wrong")[0] == 401
    assert ask(f"{server.rest_url}/v1/models/nobody")[0] == 404
    assert ask(f"{server.rest_url}/v1/models/captioner/versions/{2**70}")[0] == 404


def test_damaged_requests_never_fail_the_server(server):
    rng = random.Random(1)
    sound = json.dumps({"instances": [b64(PICTURES[0])]}).encode()
    before = server.metric("serving_requests_total")
    seen = set()
    for _ in range(100):
        seen.add(predict(server, mutated(sound, rng))[0])
    assert 200 in seen and 400 in seen and max(seen) < 500
    assert server.metric("serving_requests_total") > before, "counted as all requests are"


def test_metrics_are_at_their_paths_alone_and_not_on_this_port(server):
    for path in ("/metrics", "/monitoring/prometheus/metrics"):
        with urllib.request.urlopen(server.metrics_url + path) as page:
            assert b"serving_requests" in page.read()
    for url in (server.metrics_url + "/", server.rest_url + "/metrics"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url)
        assert caught.value.code == 404
