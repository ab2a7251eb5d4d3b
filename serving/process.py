"""`python -m serving.server` as a process of its own, for as long as a `with` block lasts."""

import re
import subprocess
import sys
import threading


class ServerProcess:
    """A server of one model on free ports of this machine, which answers from the start of the block to its end.

    address: host:port of gRPC. metrics: the URL of its metrics.

    Args:
        folder: the model's. seconds: that it may take to start.
    Raises:
        ValueError: it ended before it served, with its last words.
    """

    def __init__(self, folder, seconds=600.0):
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "serving.server",
            "--model-base-path",
            str(folder),
        ]
        command += ["--port", "0", "--metrics-port", "0"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        try:
            self.address, self.metrics = self._listening()
        except BaseException:
            self.stop()
            raise
        finally:
            timer.cancel()
        threading.Thread(
            target=self._process.stderr.read, daemon=True
        ).start()  # a full pipe would hold the server up

    def _listening(self):
        line = "it said nothing"
        for line in self._process.stderr:
            if found := re.search(r"serving on (\S+), metrics on (\S+)", line):
                return found.groups()
        raise ValueError(
            f"the server ended with code {self._process.wait()} before it served: {line.strip()}"
        )

    def stop(self):
        """Ends the process: gently, and if that takes long, at once."""
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()
