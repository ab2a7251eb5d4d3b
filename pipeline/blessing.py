"""Verdicts on a trained run, blessing/COMPONENT.json in its folder: the Evaluator and the InfraValidator give them, the
Pusher obeys them. And what the commands of these three share."""

import argparse
import dataclasses
import json
from pathlib import Path

from keras_sat.runs.run import open_run
from keras_sat.utils.errors import UserError
from keras_sat.utils.files import write_text

BLESSED, NOT_BLESSED = "BLESSED", "NOT_BLESSED"


def path_of(run, component):
    return run.folder / "blessing" / f"{component}.json"


def model_of(run):
    """What a verdict is about, as the model card of an export has it: checkpoints and decoding."""
    return {
        "checkpoints": [run.fingerprint()],
        "decoding": dataclasses.asdict(run.experiment.decoding),
    }


def give(run, component, reasons, **facts):
    """Writes the verdict: BLESSED where no reasons speak against it.

    Raises:
        UserError: NOT_BLESSED, with the reasons.
    """
    verdict = {
        "verdict": NOT_BLESSED if reasons else BLESSED,
        "reasons": reasons,
        "model": model_of(run),
        **facts,
    }
    write_text(path_of(run, component), json.dumps(verdict, indent=2, ensure_ascii=False) + "\n")
    _check(verdict, path_of(run, component), component)


def blessed(run, component):
    """The verdict of a component on the run as it is now.

    Raises:
        UserError: NOT_BLESSED, or none.
    """
    path = path_of(run, component)
    verdict = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if verdict.get("model") != model_of(run):
        raise UserError(
            f"{path}: no verdict on this model; python -m pipeline.{component} --run {run.folder} gives one"
        )
    _check(verdict, path, component)
    return verdict


def _check(verdict, path, component):
    if verdict["verdict"] != BLESSED:
        raise UserError(
            f"{NOT_BLESSED} by the {component}: {'; '.join(verdict['reasons'])} ({path})"
        )


def parser(component, doc):
    """Of a component's command, with --run and --push."""
    made = argparse.ArgumentParser(
        prog=f"python -m pipeline.{component}", description=doc.split("\n\n")[1]
    )
    made.add_argument("--run", required=True, metavar="DIR", help="a trained run")
    made.add_argument(
        "--push",
        metavar="DIR",
        help="the model's folder, such as serving/models/NAME (default: the run's)",
    )
    return made


def run_of(args):
    """The run of these arguments, its experiment with the folder to push to."""
    run = open_run(args.run)
    push = dataclasses.replace(run.experiment.push, folder=args.push or run.experiment.push.folder)
    if not push.folder:
        raise UserError(
            "say where to: --push serving/models/NAME, or push.folder in the experiment"
        )
    return dataclasses.replace(run, experiment=dataclasses.replace(run.experiment, push=push))


def model_folder(run):
    """The folder of the model's versions."""
    return Path(run.experiment.push.folder)


def staging_folder(run):
    """Beside it, on the same file system: the version on trial. Named as the model, since its requests name the model."""
    folder = model_folder(run).resolve()
    return folder.parent / f".{folder.name}.staged" / folder.name
