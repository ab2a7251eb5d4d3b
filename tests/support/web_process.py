"""`keras-sat try` as a process of its own, as users run it."""

import contextlib
import json
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request


class Answer:
    """An answer over HTTP.

    Attributes:
        status: of HTTP.
        headers: of HTTP.
        body: bytes.
    """

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        """What the body says in JSON."""
        return json.loads(self.body)


class WebPage:
    """A page for a server.

    Attributes:
        url: of the page.
        process: the subprocess.Popen.
    """

    def __init__(self, *arguments):
        command = [sys.executable, "-W", "ignore", "-m", "serving.web", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        self.url = re.match(r"open (\S+)", line).group(1)

    def ask(self, path, body=None, headers=None, **query):
        """The `Answer` to a GET or, with a body, a POST."""
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, body, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Answer(response)
        except urllib.error.HTTPError as error:
            return Answer(error)


@contextlib.contextmanager
def showing(*arguments):
    """A `WebPage` for as long as a `with` block lasts."""
    page = WebPage(*arguments)
    try:
        yield page
    finally:
        page.process.terminate()
        page.process.wait(60)
