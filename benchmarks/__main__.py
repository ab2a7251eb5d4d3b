"""python -m benchmarks --output bench

Runs the comparisons that `make bench` shows, one after the other, and prints a table. A row gives
keras_sat's speed as a multiple of the alternative's, unless its label says otherwise. --output also
writes the table (bench.md) and all measurements (bench.json). Nothing else should run on the
machine.
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

PYTORCH = "a Python loop over steps in PyTorch"
ALONE = "PyTorch, one image at a time"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        what: is measured.
        beside: the alternative.
        figure: function from a comparison's result to the number in the table.
        aim: what the number should be.
        form: the number's format.
    """

    what: str
    beside: str
    figure: Callable
    aim: str
    form: str = "{:.1f} ×"


def _ratio(group, ours, theirs):
    """The ratio of two numbers in one group of the result."""
    return lambda result: result[group][ours] / result[group][theirs]


def _training_rate(batches):
    return _ratio("captions_a_second", f"keras_sat, {batches}", "PyTorch")


def _decoding_rate(batch):
    return _ratio("images_a_second", f"keras_sat, batch {batch}", "PyTorch, one at a time")


def _loop_rate(*forms):
    """The rate of the project's loop over that of the fastest of other forms."""

    def figure(result):
        rates = result["captions_a_second"]
        return min(rates["scan"] / rates[form] for form in forms)

    return figure


def _saved(what):
    return lambda result: result["written out"][what] / result["factorised"][what]


COMPARISONS = {  # {a module and its arguments: the rows that its result makes}
    ("training", "--grid=14", "--batch=32"): [
        Row("training, 14×14, batch 32", PYTORCH, _training_rate("by length"), "≥ 3"),
        Row("… five captions per image", PYTORCH, _training_rate("five per image"), "≥ 4"),
    ],
    ("training", "--grid=7", "--batch=128"): [
        Row("training, 7×7, batch 128", PYTORCH, _training_rate("by length"), "≥ 2.5"),
        Row(
            "… its arithmetic",
            "a 2048³ product",
            lambda result: result["share_of_limit"]["keras_sat, by length"],
            "≥ 50",
            "{:.0%}",
        ),
    ],
    ("time_loop",): [
        Row("time loop, 7×7, batch 64", "Keras' RNN", _loop_rate("Keras RNN"), "–", "{:.2f} ×"),
        Row("…", "unrolled, a graph a length", _loop_rate("unrolled"), "–", "{:.2f} ×"),
        Row(
            "…",
            "compiled by XLA, the better of two",
            _loop_rate("while loop, XLA", "unrolled, XLA"),
            "–",
            "{:.2f} ×",
        ),
    ],
    ("areas_joint_softmax", "--each=5"): [
        Row("joint softmax, five captions per image", "written out", _saved("seconds"), "≥ 10"),
        Row("… its memory", "written out", _saved("bytes"), "≥ 10"),
    ],
    ("areas_joint_softmax", "--each=1"): [
        Row("joint softmax, one caption per image", "written out", _saved("seconds"), "≥ 10"),
        Row("… its memory", "written out", _saved("bytes"), "≥ 10"),
    ],
    ("decoding",): [
        Row("beam search, 14×14, batch 64", ALONE, _decoding_rate(64), "≥ 10"),
        Row("… batch 1", ALONE, _decoding_rate(1), "≥ 2"),
    ],
    ("epoch",): [
        Row(
            "reading batches, 14×14",
            "what training takes",
            _ratio("captions_a_second", "reading", "training"),
            "≥ 5",
        ),
        Row(
            "scoring 1,000 captions",
            "an epoch of Flickr8k",
            lambda result: result["scoring_share"],
            "< 5",
            "{:.1%}",
        ),
        Row(
            "first step of train",
            "import tensorflow",
            lambda result: result["start_seconds"],
            "≤ 15",
            "+ {:.1f} s",
        ),
    ],
}


def _run(module, options):
    """The result of a comparison: the JSON in the last line that its module prints."""
    command_line = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", *options]
    child = subprocess.run(command_line, capture_output=True, text=True)
    if child.returncode:
        lines = child.stderr.strip().splitlines() or ["ended without a word"]
        raise UserError(f"benchmarks.{' '.join([module, *options])}: {lines[-1]}")
    return json.loads(child.stdout.splitlines()[-1])


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
    processor = platform.processor() or platform.machine()
    machine = f"{os.cpu_count()} cores, {processor}, {platform.system()}"
    table = ["| | beside | here | aim |", "|---|---|---|---|"]
    results = {}
    for (module, *options), rows in COMPARISONS.items():
        name = " ".join([module, *options])
        print(f"{name} …", file=sys.stderr, flush=True)
        results[name] = _run(module, options)
        for row in rows:
            here = row.form.format(row.figure(results[name]))
            table.append(f"| {row.what} | {row.beside} | {here} | {row.aim} |")
    print(*table, machine, sep="\n")
    if args.output:
        write_text(Path(f"{args.output}.md"), "\n".join([*table, "", machine, ""]))
        measured = {"machine": machine, "results": results}
        write_text(Path(f"{args.output}.json"), json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
