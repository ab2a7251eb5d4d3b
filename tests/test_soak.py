"""A small part of `make soak`: kills in every phase of training, of preparation, and damages."""

import subprocess
import sys

# Hard attention has the most state to restore; self-critical training has Python in its step.
PART = "hard,self-critical,preparation,best checkpoint: note"


def test_nothing_is_lost_by_kills_and_damages(tmp_path):
    command = [sys.executable, "-W", "ignore", "-m", "tests.soak", "--output", str(tmp_path)]
    command += ["--kills", "2", "--preparation-kills", "1", "--places", "2", "--only", PART]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
    table = finished.stdout[finished.stdout.index("| fault |") :].splitlines()
    assert len(table) == 2 + len(PART.split(","))
    assert all(row.endswith("| nothing |") for row in table[2:]), table
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.stdout.splitlines() == table, "what is recorded is not repeated"
