"""python -m benchmarks --output bench

Runs the comparisons that `make bench` shows, one after the other, and prints a table of ratios: how many times the
alternative's speed keras_sat has. --output also writes the table (bench.md) and all that was measured (bench.json). Nothing
else should run on the machine.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from keras_sat.errors import UserError, command
from keras_sat.files import write_text

PYTORCH = "a Python loop over steps in PyTorch"


def _captions(result, side):
    return result["captions_a_second"][side], result["captions_a_second"]["PyTorch"]


def _images(result, batch):
    return result["images_a_second"][f"keras_sat, batch {batch}"], result["images_a_second"]["PyTorch, one at a time"]


def _factorised(result, what):
    fast, slow = (result[form][what] for form in ("factorised", "written out"))
    return 1 / fast, 1 / slow


# {module and its arguments: [(what is measured, beside what, (our speed, theirs) of the result, the least ratio aimed at)]}
COMPARISONS = {
    ("training", "--grid=14", "--batch=32"): [
        ("training, 14×14, batch 32", PYTORCH, lambda r: _captions(r, "keras_sat, by length"), 3),
        ("… with five captions an image", PYTORCH, lambda r: _captions(r, "keras_sat, five an image"), 4),
    ],
    ("training", "--grid=7", "--batch=128"): [
        ("training, 7×7, batch 128", PYTORCH, lambda r: _captions(r, "keras_sat, by length"), 2.5),
    ],
    ("decoding",): [
        ("beam search, 14×14, batch 64", "PyTorch, an image at a time", lambda r: _images(r, 64), 10),
        ("… batch 1", "PyTorch, an image at a time", lambda r: _images(r, 1), 2),
    ],
    ("areas_joint_softmax",): [
        ("joint softmax, a training step", "written out", lambda r: _factorised(r, "seconds"), 10),
        ("… its memory", "written out", lambda r: _factorised(r, "bytes"), 10),
    ],
}


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--output", metavar="NAME", help="write NAME.md and NAME.json")
    args = parser.parse_args(arguments)
    machine = f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}, {platform.system()}"
    table, results = ["| | beside | ratio | aim |", "|---|---|---|---|"], {}
    for (module, *options), rows in COMPARISONS.items():
        name = " ".join([module, *options])
        print(f"{name} …", file=sys.stderr, flush=True)
        child = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", *options], capture_output=True, text=True
        )
        if child.returncode:
            raise UserError(f"benchmarks.{name}: {(child.stderr.strip().splitlines() or ['ended without a word'])[-1]}")
        results[name] = json.loads(child.stdout.splitlines()[-1])
        for what, beside, speeds, aim in rows:
            ours, theirs = speeds(results[name])
            table.append(f"| {what} | {beside} | {ours / theirs:.1f} | {aim} |")
    print(*table, machine, sep="\n")
    if args.output:
        write_text(Path(f"{args.output}.md"), "\n".join([*table, "", machine, ""]))
        write_text(Path(f"{args.output}.json"), json.dumps({"machine": machine, "results": results}, indent=1))


if __name__ == "__main__":
    main()
