"""Verdicts on a trained run, in blessing/COMPONENT.json of its folder.

The Evaluator and the InfraValidator give them, the Pusher obeys them.
"""

import dataclasses
import json
from pathlib import Path

from keras_sat.utils.errors import UserError
from keras_sat.utils.files import write_text
from keras_sat.utils.json_files import read_json

BLESSED = "BLESSED"
NOT_BLESSED = "NOT_BLESSED"
_VERDICT = {
    "type": "object",
    "required": ["verdict", "reasons", "model"],
    "properties": {
        "verdict": {"enum": [BLESSED, NOT_BLESSED]},
        "reasons": {"type": "array", "items": {"type": "string"}},
        "model": {"type": "object"},
        "version": {"type": "integer", "minimum": 1},
    },
}


def path_of(run, component):
    """The file of a component's verdict on a run."""
    return run.folder / "blessing" / f"{component}.json"


def model_of(run):
    """The checkpoints and the decoding that a verdict is about, as in a model card."""
    return {
        "checkpoints": [run.fingerprint()],
        "decoding": dataclasses.asdict(run.experiment.decoding),
    }


def give(run, component, reasons, **facts):
    """Writes a verdict.

    Args:
        run: the `keras_sat.runs.run.Run`.
        component: `evaluator` or `infra_validator`.
        reasons: why the run is not blessed; if empty, it is blessed.
        facts: what else the verdict's file says.

    Returns:
        The verdict's file.

    Raises:
        UserError: NOT_BLESSED, with the reasons.
    """
    verdict = {
        "verdict": NOT_BLESSED if reasons else BLESSED,
        "reasons": reasons,
        "model": model_of(run),
        **facts,
    }
    path = path_of(run, component)
    write_text(path, json.dumps(verdict, indent=2, ensure_ascii=False) + "\n")
    _check(verdict, path, component)
    return path


def blessed(run, component):
    """The verdict of a component on the run as it is now.

    Raises:
        UserError: NOT_BLESSED, or there is no verdict on this model.
    """
    path = path_of(run, component)
    verdict = read(run, component)
    if verdict.get("model") != model_of(run):
        raise UserError(
            f"{path}: no verdict on this model; "
            f"python -m pipeline.{component} --run {run.folder} gives one"
        )
    _check(verdict, path, component)
    return verdict


def read(run, component):
    """The verdict in a component's file; empty if there is none.

    Raises:
        UserError: it cannot be read.
    """
    path = path_of(run, component)
    if not path.exists():
        return {}
    way_out = f"python -m pipeline.{component} --run {run.folder} gives a new one"
    return read_json(path, _VERDICT, way_out)


def _check(verdict, path, component):
    if verdict["verdict"] != BLESSED:
        reasons = "; ".join(verdict["reasons"])
        raise UserError(f"{NOT_BLESSED} by the {component}: {reasons} ({path})")


def model_folder(run):
    """The folder of the model's versions."""
    return Path(run.experiment.push.folder)


def staging_folder(run):
    """The folder of the version on trial, beside the model's folder and on the same file system.

    It has the model's name, because requests name the model.
    """
    folder = model_folder(run).resolve()
    return folder.parent / f".{folder.name}.staged" / folder.name
