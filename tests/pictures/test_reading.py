import functools
import http.server
import io
import os
import socket
import socketserver
import threading
import time

import numpy as np
import pytest
from PIL import Image

from keras_sat.pictures.download import download
from keras_sat.pictures.reading import encoded_picture, list_pictures, read_picture, unreadable
from keras_sat.pictures.results import overlay_files
from keras_sat.utils.errors import UserError
from tests.support.odd_pictures import TAKEN, encoded

PNG = TAKEN["alpha.png"]
PIXELS = np.asarray(Image.open(io.BytesIO(PNG)).convert("RGB"))


@pytest.fixture
def folder(tmp_path):
    """Pictures in a folder and in one below it, and what is no picture."""
    for name in ("b.png", "a.PNG", "._a.png", "below/c.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    (tmp_path / "photos" / "notes.txt").write_text("this is text")
    (tmp_path / "photos" / "d.webp").write_bytes(encoded("RGB", "WEBP"))
    (tmp_path / "photos" / "empty.jpg").write_bytes(b"")
    (tmp_path / "nothing").mkdir()
    return tmp_path / "photos"


def pixels_of(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


# ---- names


def test_folders_and_patterns_stand_for_their_pictures_in_order(folder):
    def listed(*names):
        return [os.path.relpath(name, folder) for name in list_pictures(names)]

    assert listed(folder) == ["a.PNG", "b.png", "d.webp", "empty.jpg"]
    assert listed(folder / "**" / "*.png") == ["b.png", "below/c.png"]
    assert list_pictures(["-", "http://x/*.png", "nowhere.png"]) == [
        "-",
        "http://x/*.png",
        "nowhere.png",
    ]


def test_a_name_with_brackets_is_a_file_if_there_is_one(folder):
    path = folder / "[1].png"
    path.write_bytes(PNG)
    assert list_pictures([path]) == [str(path)]


def test_a_folder_or_pattern_without_pictures_is_a_mistake(folder):
    with pytest.raises(UserError, match="nothing: holds no pictures"):
        list_pictures([folder.parent / "nothing"])
    with pytest.raises(UserError, match=r"\*\.jpeg: no file matches"):
        list_pictures([folder / "*.jpeg"])


def test_each_name_that_cannot_be_read_has_its_true_reason(folder):
    reasons = {
        "nowhere.png": "No such file or directory",
        "bb.png": "No such file or directory; did you mean",
        "below": "a folder, not a picture",
        "empty.jpg": "empty file: 0 bytes",
        "b.png/c.png": "Not a directory",
        "a\0b": "null",
        "ö" * 300: "File name too long",
    }
    urls = ["ftp://x/a.png", "file:///etc/passwd", "http://"]
    good = [str(folder / "b.png"), "-", "https://example.org/a.png"]
    found = unreadable([*good, *urls, *(str(folder / name) for name in reasons)])
    assert list(found) == [*urls, *(str(folder / name) for name in reasons)]
    for url in urls:
        assert str(found[url]) == f"{url}: not a URL of http or https"
    for name, reason in reasons.items():
        assert reason in str(found[str(folder / name)]), name


def test_what_is_read_has_the_same_reasons(folder):
    for name in ("nowhere.png", "below", "empty.jpg"):
        path = str(folder / name)
        with pytest.raises(UserError) as caught:
            read_picture(path)
        assert str(caught.value) == str(unreadable([path])[path])
    with pytest.raises(UserError, match=r"notes\.txt: not a picture: 12 bytes"):
        read_picture(str(folder / "notes.txt"))
    with pytest.raises(UserError, match=r"b\.png: larger than 0 MB"):
        read_picture(str(folder / "b.png"), max_bytes=10)


def test_files_are_read_as_they_are_or_as_png(folder):
    assert read_picture(str(folder / "b.png")) == PNG
    assert read_picture(str(folder / "d.webp")).startswith(b"\x89PNG")


# ---- pictures in memory


def test_every_form_of_a_picture_gives_the_same_pixels(folder):
    path = folder / "b.png"
    forms = [path, str(path), PNG, bytearray(PNG), Image.open(path), PIXELS]
    for number, form in enumerate(forms, 1):
        name, content = encoded_picture(form, number)
        assert name == (str(path) if number in (1, 2, 5) else f"picture {number}")
        np.testing.assert_array_equal(pixels_of(content), PIXELS)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_arrays_of_every_number_of_channels(shape):
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    expected = array.reshape(4, 6, -1)[..., :3]
    np.testing.assert_array_equal(pixels_of(encoded_picture(array)[1]), expected + np.zeros(3))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros([4, 6, 3]),
        np.zeros([2, 4, 6, 3], np.uint8),
        np.zeros([4, 6, 2], np.uint8),
        np.zeros([0, 6, 3], np.uint8),
        None,
        3,
        {"a": 1},
    ],
)
def test_what_is_no_picture_is_named(wrong):
    with pytest.raises(UserError, match=r"picture 7: an array .*; expected a path"):
        encoded_picture(wrong, 7)


def test_a_pillow_image_of_a_cut_file_is_named(tmp_path):
    path = tmp_path / "cut.png"
    noise = np.random.default_rng(0).integers(0, 256, [64, 64, 3]).astype(np.uint8)
    path.write_bytes(encoded_picture(noise)[1][:6000])
    with pytest.raises(UserError, match=r"cut\.png: not decodable"):
        encoded_picture(Image.open(path))


# ---- URLs


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, redirections, and a server that sends a byte now and then."""

    def do_GET(self):
        targets = {
            "/to_file": "file:///etc/passwd",
            "/to_ftp": "ftp://localhost/a",
            "/on": "/b.png",
        }
        if self.path in targets:
            self.send_response(302)
            self.send_header("Location", targets[self.path])
            self.end_headers()
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(100):
                    self.wfile.write(b"x")
                    time.sleep(0.1)
            except OSError:
                pass
        else:
            super().do_GET()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def url(folder):
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_url_is_read(url):
    assert read_picture(f"{url}/b.png") == PNG
    assert read_picture(f"{url}/on") == PNG, "a redirection is followed"


@pytest.mark.parametrize(
    "page, reason",
    [
        ("none.png", "HTTP status 404: File not found"),
        ("notes.txt", "not a picture: 12 bytes"),
        ("empty.jpg", "empty file: 0 bytes"),
        ("to_file", "not allowed"),
        ("to_ftp", "unknown url type: ftp"),
    ],
)
def test_what_is_wrong_with_a_url(url, page, reason):
    with pytest.raises(UserError) as caught:
        read_picture(f"{url}/{page}")
    assert str(caught.value).startswith(f"{url}/{page}: ") and reason in str(caught.value)


def test_a_url_has_a_limit_of_size(url):
    with pytest.raises(UserError, match="larger than 0 MB"):
        read_picture(f"{url}/b.png", max_bytes=100)
    assert len(download(f"{url}/b.png", 100)) == 101


def test_a_url_has_a_limit_of_total_time(url):
    started = time.monotonic()
    with pytest.raises(UserError, match=r"not complete after 0\.5 seconds"):
        download(f"{url}/slow", 1 << 20, seconds=0.5)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("sent", [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\nX: ", b""])
def test_a_url_that_gives_a_byte_now_and_then_has_a_deadline(sent):
    """In the picture, in a header, or before anything."""
    ended = threading.Event()

    def drip(listener):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(sent)
            while not ended.wait(0.05):
                connection.sendall(b"x" if sent else b"")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/1.png"
        started = time.monotonic()
        with pytest.raises(UserError, match=r"not complete after 0\.5 seconds|timed out"):
            download(url, 1 << 20, seconds=0.5)
        assert time.monotonic() - started < 3
        ended.set()


@pytest.mark.parametrize(
    "answer", [b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
def test_an_answer_that_is_no_http_is_one_line(answer):
    def serve(listener):
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/1.png"
        try:
            assert read_picture(url, 1 << 20) == b"x"
        except UserError as error:
            assert str(error).startswith(url)


def test_nobody_answers():
    with socketserver.TCPServer(("127.0.0.1", 0), None) as server:
        port = server.server_address[1]
    with pytest.raises(UserError, match=f"http://127.0.0.1:{port}/a.png: Connection refused"):
        read_picture(f"http://127.0.0.1:{port}/a.png")


# ---- overlays


def test_overlays_have_files_of_their_own(tmp_path):
    names = ["x/a.png", "y/a.jpg", "-", "http://host/b.webp?size=3"]
    assert overlay_files(tmp_path, names) == {
        "x/a.png": tmp_path / "a-attention.png",
        "y/a.jpg": tmp_path / "a-2-attention.png",
        "-": tmp_path / "picture-attention.png",
        "http://host/b.webp?size=3": tmp_path / "b-attention.png",
    }
    assert overlay_files(tmp_path / "new", names[:1]) == {
        "x/a.png": tmp_path / "new" / "a-attention.png"
    }
    assert [path.name for path in overlay_files(tmp_path / "where.pdf", names[:2]).values()] == [
        "where-1.pdf",
        "where-2.pdf",
    ]
    assert overlay_files("where.svg", ["a.png"])["a.png"].name == "where.svg"


def test_an_overlay_never_replaces_a_picture(folder):
    with pytest.raises(UserError, match="would replace the picture"):
        overlay_files(folder / "b.png", [str(folder / "b.png")])
    with pytest.raises(UserError, match=r"where\.xyz: cannot be drawn in this format"):
        overlay_files("where.xyz", ["a.png"])
