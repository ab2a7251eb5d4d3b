"""Headless Chromium, driven by its DevTools protocol."""

import base64
import json
import re
import shutil
import subprocess
import time

from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_LONGEST = 30  # seconds that anything may take


class Browser:
    """One page of a browser, which ends with the `with` block.

    Args:
        folder: for the browser's profile.
    """

    def __init__(self, folder):
        options = ["--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--disable-gpu"]
        options += ["--no-first-run", "--disable-dev-shm-usage", f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            [CHROMIUM, *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        self.violations = []  # what the page may not do, and exceptions of its scripts
        self._next = 0
        try:
            self._socket = connect(self._address(), max_size=None)
            target = self._send("Target.createTarget", url="about:blank")["targetId"]
            attached = self._send("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "DOM"):
                self.send(f"{domain}.enable")
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        """Ends the browser."""
        self._process.kill()
        self._process.wait()

    def send(self, method, **params):
        """Sends a command of the protocol to the page, and returns its result."""
        return self._send(method, self._session, **params)

    def open(self, url):
        """Opens a page, and waits until its script has run."""
        self.send("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression):
        """The value of a JavaScript expression."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, expression):
        """Waits until a JavaScript expression is true, and returns its value."""
        end = time.monotonic() + _LONGEST
        while time.monotonic() < end:
            value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"never true: {expression}\n{self.text('body')}")

    def text(self, selector):
        """The visible text of an element."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def upload(self, selector, path):
        """Chooses a file for an <input type=file>."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def point_at(self, selector, click=False):
        """Moves the mouse to the middle of an element, and clicks there."""
        text = json.dumps(selector)
        x, y = self.evaluate(
            f"(() => {{ const e = document.querySelector({text}); e.scrollIntoView("
            "{block: 'center', behavior: 'instant'}); const r = e.getBoundingClientRect(); "
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        kinds = ["mouseMoved", "mousePressed", "mouseReleased"] if click else ["mouseMoved"]
        for kind in kinds:
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def resize(self, width, height, scale=1, mobile=False):
        """Gives the page the size of a screen."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )

    def prefer(self, **features):
        """Sets preferences: prefer(color_scheme="dark", reduced_motion="reduce")."""
        listed = []
        for name, value in features.items():
            listed.append({"name": f"prefers-{name.replace('_', '-')}", "value": value})
        self.send("Emulation.setEmulatedMedia", features=listed)

    def screenshot(self, path):
        """Writes what the whole page looks like to a PNG file."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _address(self):
        for line in self._process.stderr:
            found = re.search(r"DevTools listening on (\S+)", line)
            if found:
                return found.group(1)
        raise AssertionError("Chromium ended before it listened")

    def _send(self, method, session=None, **params):
        self._next += 1
        number = self._next
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=_LONGEST))
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._observe(answer)

    def _observe(self, event):
        if event.get("method") == "Runtime.exceptionThrown":
            self.violations.append(event["params"]["exceptionDetails"])
        if event.get("method") == "Log.entryAdded":
            entry = event["params"]["entry"]
            if entry["source"] == "security" or "Content Security Policy" in entry["text"]:
                self.violations.append(entry["text"])
