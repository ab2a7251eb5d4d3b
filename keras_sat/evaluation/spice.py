"""SPICE of captions, computed by the Java program that pycocoevalcap brings.

pycocoevalcap's own wrapper writes files into its package, which may be read-only.
"""

import contextlib
import json
import os
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

import numpy as np

from keras_sat.evaluation.java import java_command
from keras_sat.evaluation.resampling import mean_score
from keras_sat.utils.errors import UserError

_FOLDER = resources.files("pycocoevalcap") / "spice"


def models_are_there():
    """Whether SPICE's models are where the program looks for them."""
    names = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
    return all((_FOLDER / "lib" / name).is_file() for name in names)


def spice(references, captions):
    """Scores captions as `pycocoevalcap.spice.spice.Spice` does.

    Parsed references are kept in $XDG_CACHE_HOME/keras_sat/spice (or below ~/.cache) if it can be
    written, since parsing takes most of the time.

    Args:
        references: {image: [caption, …]}, tokenised.
        captions: {image: [caption]}, tokenised.

    Returns:
        A `Score`.

    Raises:
        UserError: the program failed.
    """
    questions = []
    for image, [caption] in captions.items():
        questions.append({"image_id": image, "test": caption, "refs": references[image]})
    try:
        with tempfile.TemporaryDirectory(prefix="spice_") as folder:
            answers = _run(questions, Path(folder))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UserError(
            f"SPICE's Java process failed ({error}); it was written for Java 8; or leave spice out"
        ) from error
    found = {answer["image_id"]: answer["scores"]["All"]["f"] for answer in answers}
    values = np.array([found[image] for image in captions], np.float64)  # null is NaN
    return mean_score(values[:, np.newaxis])


def _run(questions, folder):
    """The program's answers; files are written into a temporary folder."""
    given = folder / "captions.json"
    found = folder / "scores.json"
    given.write_text(json.dumps(questions), encoding="utf-8")
    program = java_command("-Xmx8G", "-jar", _FOLDER / "spice-1.0.jar", given)
    options = ["-cache", _cache(folder), "-out", found, "-subset", "-silent"]
    subprocess.run([*program, *options], cwd=folder, check=True)
    return json.loads(found.read_text(encoding="utf-8"))


def _cache(temporary):
    """The folder of what was parsed: the user's, or the temporary one where that is read-only."""
    home = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(home) if home else Path.home() / ".cache") / "keras_sat" / "spice"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder if os.access(folder, os.W_OK) else temporary
