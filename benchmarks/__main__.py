"""python -m benchmarks --output bench

Runs the comparisons that `make bench` shows, one after the other, and prints a table: how many times the alternative's speed
keras_sat has, or what the line says. --output also writes the table (bench.md) and all that was measured (bench.json).
Nothing else should run on the machine.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keras_sat.utils.errors import UserError, command
from keras_sat.utils.files import write_text

PYTORCH, ALONE = "a Python loop over steps in PyTorch", "PyTorch, an image at a time"


@dataclass(frozen=True)
class Row:
    """A line of the table. `figure`: (result) → number; `form`: how it is written; `aim`: what it should be."""

    what: str
    beside: str
    figure: Callable
    aim: str
    form: str = "{:.1f} ×"


def _times(group, ours, theirs):
    return lambda result: result[group][ours] / result[group][theirs]


def _captions(ours):
    return _times("captions_a_second", f"keras_sat, {ours}", "PyTorch")


def _loop(*forms):
    """The project's loop beside the fastest of other forms."""
    return lambda result: min(
        result["captions_a_second"]["scan"] / result["captions_a_second"][form] for form in forms
    )


def _images(batch):
    return _times("images_a_second", f"keras_sat, batch {batch}", "PyTorch, one at a time")


def _saved(what):
    return lambda result: result["written out"][what] / result["factorised"][what]


# {module and its arguments: the rows made of its result}
COMPARISONS = {
    ("training", "--grid=14", "--batch=32"): [
        Row("training, 14×14, batch 32", PYTORCH, _captions("by length"), "≥ 3"),
        Row("… five captions an image", PYTORCH, _captions("five an image"), "≥ 4"),
    ],
    ("training", "--grid=7", "--batch=128"): [
        Row("training, 7×7, batch 128", PYTORCH, _captions("by length"), "≥ 2.5"),
        Row(
            "… its arithmetic",
            "a 2048³ product",
            lambda r: r["share_of_limit"]["keras_sat, by length"],
            "≥ 50",
            "{:.0%}",
        ),
    ],
    ("time_loop",): [
        Row("time loop, 7×7, batch 64", "Keras' RNN", _loop("Keras RNN"), "–", "{:.2f} ×"),
        Row("…", "unrolled, a graph a length", _loop("unrolled"), "–", "{:.2f} ×"),
        Row(
            "…",
            "compiled by XLA, the better of two",
            _loop("while loop, XLA", "unrolled, XLA"),
            "–",
            "{:.2f} ×",
        ),
    ],
    ("areas_joint_softmax", "--each=5"): [
        Row("joint softmax, five captions an image", "written out", _saved("seconds"), "≥ 10"),
        Row("… its memory", "written out", _saved("bytes"), "≥ 10"),
    ],
    ("areas_joint_softmax", "--each=1"): [
        Row("joint softmax, one caption an image", "written out", _saved("seconds"), "≥ 10"),
        Row("… its memory", "written out", _saved("bytes"), "≥ 10"),
    ],
    ("decoding",): [
        Row("beam search, 14×14, batch 64", ALONE, _images(64), "≥ 10"),
        Row("… batch 1", ALONE, _images(1), "≥ 2"),
    ],
    ("epoch",): [
        Row(
            "reading batches, 14×14",
            "what training takes",
            _times("captions_a_second", "reading", "training"),
            "≥ 5",
        ),
        Row(
            "scoring 1,000 captions",
            "an epoch of Flickr8k",
            lambda r: r["scoring_share"],
            "< 5",
            "{:.1%}",
        ),
        Row(
            "first step of train",
            "import tensorflow",
            lambda r: r["start_seconds"],
            "≤ 15",
            "+ {:.1f} s",
        ),
    ],
}


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n\n", 1)[1]
    )
    parser.add_argument("--output", metavar="NAME", help="write NAME.md and NAME.json")
    args = parser.parse_args(arguments)
    if args.output and not Path(args.output).absolute().parent.is_dir():
        raise UserError(
            f"--output {args.output}: its folder does not exist; make it, or choose another"
        )
    machine = (
        f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}, {platform.system()}"
    )
    table, results = ["| | beside | here | aim |", "|---|---|---|---|"], {}
    for (module, *options), rows in COMPARISONS.items():
        name = " ".join([module, *options])
        print(f"{name} …", file=sys.stderr, flush=True)
        child = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", *options],
            capture_output=True,
            text=True,
        )
        if child.returncode:
            raise UserError(
                f"benchmarks.{name}: {(child.stderr.strip().splitlines() or ['ended without a word'])[-1]}"
            )
        results[name] = json.loads(child.stdout.splitlines()[-1])
        for row in rows:
            table.append(
                f"| {row.what} | {row.beside} | {row.form.format(row.figure(results[name]))} | {row.aim} |"
            )
    print(*table, machine, sep="\n")
    if args.output:
        write_text(Path(f"{args.output}.md"), "\n".join([*table, "", machine, ""]))
        write_text(
            Path(f"{args.output}.json"),
            json.dumps({"machine": machine, "results": results}, indent=1),
        )


if __name__ == "__main__":
    main()
