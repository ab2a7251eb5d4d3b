"""The page in a real browser, in front of a real server."""

import base64
import time

import pytest
from PIL import Image

from tests.support import saved_model
from tests.support.server_process import running
from tests.support.web_process import showing

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
browser_module = pytest.importorskip("tests.support.browser", reason="websockets is not installed")

pytestmark = pytest.mark.skipif(browser_module.CHROMIUM is None, reason="Chromium is not installed")
SHADED = """(() => {
  const canvas = document.querySelector(".stage canvas");
  if (!canvas.width || !canvas.height) { return 0; }
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((value, i) => i % 4 === 3 && value > 0).length;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browser_module.Browser(tmp_path_factory.mktemp("browser")) as browser:
        browser.prefer(reduced_motion="reduce")
        yield browser
        assert browser.violations == []


@pytest.fixture(scope="module")
def page(server):
    with showing("--server", server.address, "--requests-per-minute", 1000) as page:
        yield page


@pytest.fixture
def files(tmp_path):
    """A picture, and files that are none."""
    (tmp_path / "picture.png").write_bytes(saved_model.picture(1))
    (tmp_path / "text.jpg").write_text("a text file called .jpg")
    (tmp_path / "cut.png").write_bytes(saved_model.picture(1)[:60])
    Image.new("1", (8000, 5000)).save(tmp_path / "large.png")
    return tmp_path


def open_page(browser, page):
    browser.resize(1280, 900)
    browser.open(page.url)
    browser.wait_for("document.querySelectorAll('#examples button').length === 6")


def caption(browser, path):
    browser.upload("#file", path)
    browser.wait_for("document.querySelectorAll('.caption button').length === 4")


def test_a_picture_is_captioned_and_a_word_shows_its_attention(browser, page, files, direct):
    open_page(browser, page)
    caption(browser, files / "picture.png")
    expected = direct("caption_with_attention", image_bytes=[saved_model.picture(1)])
    words = [word.decode() for word in expected["words"][0]]
    assert browser.text(".caption").split() == words
    best = expected["captions"][0][0].decode()
    assert browser.evaluate("document.querySelector('.stage img').alt") == best
    assert browser.text("#status") == f"Caption: {best}"
    assert browser.evaluate(SHADED) == 0

    browser.point_at(".caption button:nth-of-type(2)")
    browser.wait_for(f"{SHADED} > 0")
    browser.point_at("h1")
    browser.wait_for(f"{SHADED} === 0")
    browser.point_at(".caption button:nth-of-type(2)", click=True)
    browser.point_at("h1")
    held = "document.querySelector('.caption [aria-pressed=true]').innerText"
    assert browser.evaluate(held) == words[1]
    assert browser.evaluate(SHADED) > 0, "a held word stays"


@pytest.mark.parametrize(
    "event", ["DragEvent('drop', {dataTransfer", "ClipboardEvent('paste', {clipboardData"]
)
def test_a_picture_may_be_dropped_or_pasted(browser, page, event):
    open_page(browser, page)
    content = base64.b64encode(saved_model.picture(1)).decode()
    browser.evaluate(f"""(() => {{
        const bytes = Uint8Array.from(atob('{content}'), letter => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], 'picture.png', {{type: 'image/png'}}));
        document.body.dispatchEvent(new {event}: data, bubbles: true, cancelable: true}}));
    }})()""")
    browser.wait_for("document.querySelectorAll('.caption button').length === 4")


def test_words_appear_one_after_the_other(browser, page, files):
    browser.prefer(reduced_motion="no-preference")
    open_page(browser, page)
    browser.upload("#file", files / "picture.png")
    browser.wait_for("document.querySelectorAll('.caption .unsaid').length === 2")
    assert browser.evaluate(SHADED) > 0
    browser.wait_for("document.querySelectorAll('.caption .unsaid').length === 0")
    browser.prefer(reduced_motion="reduce")


def test_an_own_caption_is_scored_word_by_word_with_the_keyboard(browser, page, files):
    open_page(browser, page)
    caption(browser, files / "picture.png")
    browser.evaluate("document.querySelector('.own input').focus()")
    browser.send("Input.insertText", text="red <b>x</b> blue red")
    for kind in ("keyDown", "keyUp"):
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        browser.send("Input.dispatchKeyEvent", type=kind, **enter)
    browser.wait_for("document.querySelectorAll('.scored button').length === 4")
    assert "<b>x</b>" in browser.text(".scored"), "what is typed stays text"
    shown = browser.text(".scored").split()
    assert shown[3] == "-5.00" and "Log probability" in browser.text(".total")
    browser.evaluate("document.querySelector('.scored button').focus()")
    assert browser.text(".stage output").startswith("log probability")
    for kind in ("keyDown", "keyUp"):
        arrow = {"key": "ArrowRight", "code": "ArrowRight", "windowsVirtualKeyCode": 39}
        browser.send("Input.dispatchKeyEvent", type=kind, **arrow)
    assert browser.evaluate("document.activeElement.innerText").startswith("<b>x</b>")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text.jpg", "not a picture"),
        ("cut.png", "cannot be captioned"),
        ("large.png", "40 megapixels"),
    ],
)
def test_a_wrong_file_ends_in_words_on_the_page(browser, page, files, name, words):
    open_page(browser, page)
    caption(browser, files / "picture.png")
    browser.upload("#file", files / name)
    browser.wait_for(
        "[...document.querySelectorAll('[role=alert]')]"
        f".some(each => !each.hidden && each.innerText.includes('{words}'))"
    )
    is_shown = "!!document.querySelector('.caption')?.offsetParent"
    assert not browser.evaluate(is_shown), "a caption of the picture before"


def test_a_stopped_server_ends_in_words_on_the_page(browser, models):
    with (
        running("--model-base-path", models / "captioner") as server,
        showing("--server", server.address, "--deadline", 1) as page,
    ):
        open_page(browser, page)
        browser.point_at("#examples button", click=True)
        browser.wait_for("document.querySelectorAll('.caption button').length === 4")
        server.stop()
        browser.point_at("#examples button", click=True)
        browser.wait_for("!document.querySelector('.problem').hidden")
        assert f"No answer from {server.address}" in browser.text(".problem")
    browser.point_at("#examples button", click=True)
    browser.wait_for("!document.querySelector('#error').hidden")
    assert "Is keras-sat try still running?" in browser.text("#error")


@pytest.mark.parametrize(("width", "scale"), [(390, 2), (3840, 1)])
def test_the_page_fits_the_screen(browser, page, files, width, scale):
    open_page(browser, page)
    browser.resize(width, 844 if width < 1000 else 2160, scale, mobile=width < 1000)
    caption(browser, files / "picture.png")
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    ends = (
        "Math.max(...[...document.querySelectorAll('.answer *')]"
        ".map(each => each.getBoundingClientRect().right))"
    )
    assert browser.evaluate(ends) <= width
    assert browser.evaluate("document.querySelector('.stage').getBoundingClientRect().bottom > 0")


def test_the_attention_is_saved_as_a_png(browser, page, files):
    open_page(browser, page)
    caption(browser, files / "picture.png")
    browser.evaluate("document.querySelector('.own input').value = 'red'")
    browser.evaluate("document.querySelector('.own').requestSubmit()")
    browser.wait_for("!!document.querySelector('.scored button')")
    browser.point_at(".scored button", click=True)
    caption(browser, files / "picture.png")  # a new picture lets the held word go
    browser.wait_for("!document.querySelector('.scored button')")
    browser.wait_for("!document.querySelector('.save').hidden")
    browser.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(files))
    browser.point_at(".save", click=True)
    saved = files / "caption.png"
    end = time.monotonic() + 20
    while not saved.exists() and time.monotonic() < end:
        time.sleep(0.05)
    with Image.open(saved) as image:
        assert image.format == "PNG" and image.width == 4 * 320
        assert image.height == 2 * (320 + 36), "the picture and four words, in two rows"
