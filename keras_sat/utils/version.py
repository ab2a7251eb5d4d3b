"""The version of the code, for the record in what it writes."""

import subprocess
from importlib import metadata
from pathlib import Path


def packages():
    """{package: version} of the packages that determine a result."""
    return {name: metadata.version(name) for name in ("keras_sat", "tensorflow", "tensorflow-text")}


def code_version(folder=Path(__file__).parent):
    """The commit of the code in a folder; `unknown` if the folder is not in its Git repository.

    It ends with `-dirty` if the folder has changes that are not committed.
    """

    def git(*arguments):
        command = ["git", "-C", folder, *arguments]
        finished = subprocess.run(command, capture_output=True, text=True, check=True)
        return finished.stdout.strip()

    try:
        # Fails for a copy of the code that lies in some other repository.
        git("ls-files", "--error-unmatch", "__init__.py")
        commit = git("rev-parse", "--short=12", "HEAD")
        changes = git("status", "--porcelain", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-dirty" if changes else commit
