"""python -m tests.soak --output soak

Kills trainings and preparations at random moments and damages checkpoints at random places, and
prints a table of what happened. Each case is recorded as soon as it ends, and is not repeated when
the same command is started again. Exit code 1: something was lost.
"""

import argparse
import functools
import json
import os
import shutil
import sys
import time
from pathlib import Path

from tests.soak import damages, preparation, training
from tests.soak.children import Child
from tests.support.damages import PARTS

WHICH = ("last", "both last", "best")


def cases(args, folder):
    """{name: function that gives the case's result}."""
    found = {}
    for system in training.SYSTEMS:
        found[f"{system}: kills"] = functools.partial(_training, system, folder, args)
    found["preparation: kills"] = functools.partial(_preparation, folder, args)
    for which in WHICH:
        for part in PARTS:
            found[f"{which} checkpoint: {part}"] = functools.partial(
                _damage, which, part, folder, args
            )
    return found


def _anew(folder):
    """Makes an empty folder, in place of what an interrupted soak left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _preparation(folder, args):
    return preparation.case(_anew(folder / "preparations"), args.preparation_kills, args.seed)


def _training(system, folder, args):
    data = folder / "data"
    if not data.exists():
        preparation.prepared(data, folder / "data.log")
    base = folder / "base"
    if system == "self-critical" and not base.exists():
        training.base_run(data, base)
    return training.case(system, _anew(folder / "trainings"), data, base, args.kills, args.seed)


def _damage(which, part, folder, args):
    place = _anew(folder / "damages")

    def work():
        result = damages.case(place, which, part, args.places, args.seed)
        (place / "result.json").write_text(json.dumps(result))

    # In a child, since this process must not compute with TensorFlow.
    child = Child(work, folder / "damages.log")
    assert child.wait() == 0, (folder / "damages.log").read_text()[-2000:]
    return json.loads((place / "result.json").read_text())


def table(results):
    """The results as a Markdown table."""
    lines = ["| fault | tried | what happened | lost |", "|---|---|---|---|"]
    for name, result in results.items():
        happened = []
        if "runs" in result:
            happened.append(f"resumed to the same end, in {result['runs']} runs")
        for outcome in ("fell back", "refused", "unharmed"):
            if result.get(outcome):
                happened.append(f"{outcome} {result[outcome]}")
        lost = "; ".join(result["lost"]) or "nothing"
        lines.append(f"| {name} | {result['tried']} | {', '.join(happened)} | {lost} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--output", default="soak", type=Path, help="the folder of the results")
    parser.add_argument("--kills", default=20, type=int, help="of each training")
    parser.add_argument("--preparation-kills", default=10, type=int)
    parser.add_argument("--places", default=20, type=int, help="of each damage")
    parser.add_argument(
        "--only", default="", help="cases whose names contain this, comma-separated"
    )
    parser.add_argument("--seed", default=1, type=int, help="of all moments and places")
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    args.output.mkdir(parents=True, exist_ok=True)
    record = args.output / "results.json"
    results = json.loads(record.read_text()) if record.exists() else {}
    for name, run in cases(args, args.output.absolute()).items():
        wanted = any(part in name for part in args.only.split(","))
        if not wanted or name in results:
            continue
        begun = time.monotonic()
        results[name] = run()
        record.write_text(json.dumps(results, indent=2) + "\n")
        (args.output / "table.md").write_text(table(results) + "\n")
        print(f"{name}: {results[name]} ({time.monotonic() - begun:.0f} s)", flush=True)
    print(table(results))
    sys.exit(any(result["lost"] for result in results.values()))


if __name__ == "__main__":
    main()
