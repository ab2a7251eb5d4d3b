"""`keras-sat serve` as a process of its own, for as long as a `with` block lasts."""

import re
import subprocess
import sys
import threading


class ServerProcess:
    """A server of one model on free ports of this machine.

    It answers as soon as the object exists, and ends with the `with` block.

    Args:
        folder: the model's.
        seconds: that it may take to start.

    Attributes:
        address: host:port of gRPC.
        metrics: the URL of its metrics.

    Raises:
        ValueError: the server ended before it served. The message has its exit code and its last
            line.
    """

    def __init__(self, folder, seconds=600.0):
        command = [sys.executable, "-W", "ignore", "-m", "serving.server"]
        command += ["--model-base-path", str(folder), "--port", "0", "--metrics-port", "0"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        try:
            self.address, self.metrics = self._wait_until_it_serves()
        except BaseException:
            self.stop()
            raise
        finally:
            timer.cancel()
        # If nobody read its log, the pipe would fill up and block the server.
        threading.Thread(target=self._process.stderr.read, daemon=True).start()

    def _wait_until_it_serves(self):
        """Returns the address and the metrics' URL that the server logs when it is ready."""
        line = "it said nothing"
        for line in self._process.stderr:
            found = re.search(r"serving on (\S+), metrics on (\S+)", line)
            if found:
                return found.groups()
        code = self._process.wait()
        raise ValueError(f"the server ended with code {code} before it served: {line.strip()}")

    def stop(self):
        """Ends the process with SIGTERM, and kills it if that takes over a minute."""
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
