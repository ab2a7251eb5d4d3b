"""Which code this is, for what it leaves behind."""

import subprocess
from importlib import metadata
from pathlib import Path


def packages():
    """{package: version} of what decides a result."""
    return {name: metadata.version(name) for name in ("keras_sat", "tensorflow", "tensorflow-text")}


def code_version(folder=Path(__file__).parent):
    """The commit of the code in a folder, with `-dirty` where it is not quite that; `unknown` without its Git repository."""

    def git(*arguments):
        return subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # a copy may lie in another repository
        return git("rev-parse", "--short=12", "HEAD") + "-dirty" * bool(
            git("status", "--porcelain", "--", ".")
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
