"""The commands as processes."""

import subprocess
import sys


def call(module, *arguments, **kwargs):
    """Runs `python -m module arguments` and returns the completed process."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        **kwargs,
    )


def assert_one_line(result, *parts):
    """Asserts exit code 2, no traceback, and one line of error that contains all parts."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert result.returncode == 2, result.stderr[-2000:]
    assert len(lines) == 1 and "Traceback" not in result.stderr, result.stderr[-2000:]
    for part in parts:
        assert str(part) in lines[0], lines[0]
