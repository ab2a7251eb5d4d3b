"""Verdicts on a trained run, in blessing/COMPONENT.json of its folder.

The Evaluator and the InfraValidator give them, the Pusher obeys them.
"""

import dataclasses
import json
from pathlib import Path

from keras_sat.utils.errors import UserError
from keras_sat.utils.files import write_text

BLESSED = "BLESSED"
NOT_BLESSED = "NOT_BLESSED"


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
    verdict = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if verdict.get("model") != model_of(run):
        raise UserError(
            f"{path}: no verdict on this model; "
            f"python -m pipeline.{component} --run {run.folder} gives one"
        )
    _check(verdict, path, component)
    return verdict


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
