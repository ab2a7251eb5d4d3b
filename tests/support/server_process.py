"""A server as a process of its own, as users run it, with its log and its metrics."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request


class Server:
    """`keras-sat serve` on free ports. It serves as soon as the object exists.

    Args:
        arguments: of the command.
        port: of gRPC; 0 takes a free one.
    """

    def __init__(self, *arguments, port=0):
        command = [sys.executable, "-W", "ignore", "-m", "serving.server"]
        command += ["--port", str(port), "--metrics-port", "0", "--poll-seconds", "0.1"]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.log = []
        self.rest_url = None
        self.address, self.metrics_url = self._wait_until_it_serves()
        threading.Thread(target=self._read_log, daemon=True).start()

    def metric(self, name):
        """Returns the sum of a metric over its labels."""
        with urllib.request.urlopen(self.metrics_url + "/metrics") as page:
            lines = page.read().decode().splitlines()
        values = [line.rsplit(" ", 1)[1] for line in lines if re.match(rf"{name}[{{ ]", line)]
        return sum(map(float, values))

    def wait_for(self, name, value):
        """Waits until a metric has a value."""
        while self.metric(name) != value:
            assert self.process.poll() is None

    def stop(self, number=signal.SIGTERM):
        """Sends a signal, and returns the process's exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def _wait_until_it_serves(self):
        for line in self.process.stderr:
            self.log.append(line)
            rest = re.search(r"REST on (\S+)", line)
            if rest:
                self.rest_url = rest.group(1)
            found = re.search(r"serving on (\S+), metrics on (\S+)", line)
            if found:
                return found.groups()
        raise AssertionError("".join(self.log))

    def _read_log(self):
        self.log.extend(self.process.stderr)


@contextlib.contextmanager
def running(*arguments, **kwargs):
    """A `Server` for as long as a `with` block lasts."""
    server = Server(*arguments, **kwargs)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
