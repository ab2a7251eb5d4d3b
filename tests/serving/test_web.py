"""The page's application, in front of a real server."""

import io
import random
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from tests.support import saved_model
from tests.support.mutation import mutated
from tests.support.odd_pictures import huge_png
from tests.support.ports import free_port
from tests.support.web_process import showing

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

PICTURE = saved_model.picture(1)
MANY = ("--requests-per-minute", 100_000)


def encoded(kind):
    file = io.BytesIO()
    Image.open(io.BytesIO(PICTURE)).save(file, kind, lossless=True)
    return file.getvalue()


@pytest.fixture(scope="module")
def page(server):
    with showing("--server", server.address, "--deadline", 5, *MANY) as page:
        yield page


def test_the_page_shows_what_the_model_answers(page, direct):
    found = page.ask("/api/caption", PICTURE).json
    expected = direct("caption_with_attention", image_bytes=[PICTURE])
    assert found["captions"] == [text.decode() for text in expected["captions"][0]]
    assert found["scores"] == pytest.approx(expected["scores"][0].tolist())
    assert found["words"] == [text.decode() for text in expected["words"][0]]
    assert found["attention"]["grid"] == [2, 2]
    assert len(found["attention"]["words"]) == 4


def test_a_given_caption_gets_the_models_log_probabilities(page, direct):
    caption = "red green blue red"
    found = page.ask("/api/score", PICTURE, caption=caption).json
    expected = direct("score_caption", image_bytes=[PICTURE], caption=[caption])
    assert found["words"] == caption.split()
    np.testing.assert_allclose(found["word_log_probs"], expected["word_log_probs"][0])
    assert len(found["attention"]["words"]) == 4


def test_a_format_that_only_pillow_reads_is_captioned_and_shown(page):
    webp = encoded("WEBP")
    caption = page.ask("/api/caption", PICTURE).json["captions"]
    assert page.ask("/api/caption", webp).json["captions"] == caption
    shown = Image.open(io.BytesIO(page.ask("/api/picture", webp).body))
    assert shown.format == "PNG"
    np.testing.assert_array_equal(shown, Image.open(io.BytesIO(PICTURE)))


def test_every_file_of_the_page_comes_with_a_strict_policy(page):
    for path in ("/", "/page.js", "/page.css", "/attention.js", "/attention.css", "/nothing"):
        policy = page.ask(path).headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in policy
    text = page.ask("/").body.decode()
    assert "<style" not in text and "style=" not in text and "onclick" not in text
    assert "http:" not in text and "https:" not in text


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "empty file"),
        (b"a text file called .jpg", 422, "not a picture"),
        (PICTURE[:60], 422, "cannot be captioned"),
        (huge_png(8_000, 5_000), 413, "40 megapixels"),
        (bytes(21 << 20), 413, "more than 20 MB"),
    ],
    ids=["empty", "text", "cut off", "40 megapixels", "large file"],
)
def test_a_wrong_file_ends_in_words(page, body, status, words):
    answer = page.ask("/api/caption", body)
    assert (answer.status, words in answer.json["error"]) == (status, True), answer.body


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"caption": "red", "captioner": "7"}, 404),
        ({"caption": "red", "captioner": "²"}, 404),
        ({"caption": " "}, 422),
        ({"caption": "a" * 501}, 422),
    ],
)
def test_a_wrong_question_ends_in_words(page, query, status):
    answer = page.ask("/api/score", PICTURE, **query)
    assert answer.status == status and answer.json["error"]


def test_damaged_pictures_never_fail_the_page(page):
    rng = random.Random(1)
    sound = [PICTURE, encoded("WEBP"), encoded("GIF"), encoded("TIFF")]
    seen = set()
    for _ in range(60):
        answer = page.ask("/api/caption", mutated(rng.choice(sound), rng))
        assert answer.status == 200 or answer.json["error"]
        seen.add(answer.status)
    assert seen <= {200, 413, 422} and {200, 422} <= seen


def test_another_site_gets_no_answer(page):
    port = page.url.rsplit(":", 1)[1]
    assert page.ask("/", headers={"Host": f"evil.example:{port}"}).status == 400
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert page.ask("/api/caption", PICTURE, elsewhere).status == 403


def test_a_client_may_ask_only_so_often(server):
    with showing("--server", server.address, "--requests-per-minute", 3) as page:
        answers = [page.ask("/api/caption", PICTURE) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert "Try again in" in answers[-1].json["error"]


def test_a_full_queue_ends_in_words(server):
    options = ("--server", server.address, "--model", "slow", "--deadline", 1)
    statuses = []
    words = []

    def ask(page):
        answer = page.ask("/api/caption", PICTURE)
        statuses.append(answer.status)
        if answer.status != 200:
            words.append(answer.json["error"])

    with showing(*options, *MANY) as page:
        threads = [threading.Thread(target=ask, args=[page]) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(statuses) <= {200, 503}
    assert any("its queue is full" in each for each in words), words


def test_a_stopped_server_ends_in_words():
    port = free_port()
    with showing("--server", f"127.0.0.1:{port}", "--deadline", 0.5) as page:
        answer = page.ask("/api/caption", PICTURE)
    assert answer.status == 503
    assert f"No answer from 127.0.0.1:{port}" in answer.json["error"]


def test_statuses_of_a_server_are_told_in_words(server):
    with showing("--server", server.address, "--model", "nobody") as page:
        assert "no such model" in page.ask("/api/caption", PICTURE).json["error"]
    with showing("--server", server.address, "--model", "proposals") as page:
        assert "object proposals" in page.ask("/api/caption", PICTURE).json["error"]


def test_mistakes_end_in_one_line():
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "serving.web", "--server", "localhost:1"]
    mistakes = {
        "without TLS": ["--host", "0.0.0.0"],
        "go together": ["--key", "key.pem"],
        "must be 1 or more": ["--requests-per-minute", "0"],
        "say another --host or --port": ["--port", str(port)],
    }
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        for words, options in mistakes.items():
            result = subprocess.run([*command, *options], capture_output=True, text=True)
            assert result.returncode == 2
            assert words in result.stderr.splitlines()[-1]


def test_without_its_packages_the_page_and_rest_name_them(models):
    code = "import sys; sys.modules['uvicorn'] = None; from {} import main; main(sys.argv[1:])"
    page = ["serving.web.__main__", "--server", "localhost:1"]
    folder = str(models / "captioner")
    rest = ["serving.server.__main__", "--model-base-path", folder, "--rest-port", "0"]
    for module, *options in (page, rest):
        command = [sys.executable, "-W", "ignore", "-c", code.format(module), *options]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 2
        assert "needs uvicorn" in result.stderr.splitlines()[-1]
        assert "pip install 'keras_sat[web]'" in result.stderr.splitlines()[-1]
