"""Which code this is, for what it leaves behind."""

import subprocess
from importlib import metadata
from pathlib import Path


def packages():
    """{package: version} of what decides a result."""
    return {name: metadata.version(name) for name in ("keras_sat", "tensorflow", "tensorflow-text")}


def code_version():
    """The commit, with `-dirty` where files were changed since; without Git, the package's version."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return metadata.version("keras_sat")
