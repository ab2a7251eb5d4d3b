"""What does the factorised joint softmax of Areas of Attention save against the one written out?

    python -m benchmarks.areas_joint_softmax --batch 50 --each 5

Measures one training step (forward, backward, update) of the full model on 50 captions: 14×14
regions, 6,325 words, 15 steps, all widths 512. The captions belong to 10 images with five each, as
`data.batching: images` reads them, or (--each 1) to 50 images. Each form runs in a process of its
own, from the same weights on the same batch, and must give the same loss. Memory is that of the
step alone: the peak of the process less its memory before.
"""

import argparse
import json
import subprocess
import sys

FORMS = ("factorised", "written out")


def _run(form, sizes):
    """Measures a form in a process of its own; returns None, and prints why, if it fails."""
    options = [f"--form={form}", *(f"--{name}={value}" for name, value in sizes.items())]
    module = "benchmarks.areas_joint_softmax"
    command = [sys.executable, "-W", "ignore", "-m", module, *options]
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode:
        last_line = child.stderr.strip().splitlines()[-1]
        print(f"{form}: ended with {child.returncode} ({last_line[:200]})")
        return None
    found = json.loads(child.stdout.splitlines()[-1])
    seconds = f"{found['seconds']:.2f} s a step"
    memory = f"{found['bytes'] / 1e9:.2f} GB"
    print(f"{form:>12}: {seconds}, {memory}, loss {found['losses'][0]:.5f}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sizes = {"batch": 50, "each": 5, "words": 6325, "grid": 14, "width": 512, "steps": 15}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    args = vars(parser.parse_args())
    form = args.pop("form")
    if form:
        from benchmarks.areas_forms import measure

        print(json.dumps(measure(form, **args)))
        return
    results = {}
    for form in FORMS:
        found = _run(form, args)
        if found:
            results[form] = found
    if len(results) == len(FORMS):
        fast = results["factorised"]
        slow = results["written out"]
        assert abs(fast["losses"][0] / slow["losses"][0] - 1) < 1e-5, "they compute the same"
        time = f"{slow['seconds'] / fast['seconds']:.1f} in time"
        memory = f"{slow['bytes'] / fast['bytes']:.1f} in memory"
        print(f"{'ratio':>12}: {time}, {memory}")
    print(json.dumps({"sizes": args, **results}))


if __name__ == "__main__":
    main()
