"""python -m keras_sat.compare configs/scenes_soft.yaml configs/scenes_hard.yaml --output comparison

Trains experiments one after the other (a run that is there already is taken as it is), evaluates all of them on one split,
and writes the table (Markdown and JSON) and a plot, with confidence intervals and the paired differences to the first one.
This is how ablations and systems are compared on one footing.
"""

import argparse
import dataclasses
import json
import statistics
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.errors import UserError, command


def compare(experiments, runs, split="test"):
    """Trains experiments and evaluates them.

    Args:
        experiments: {name: `config.Experiment`}. runs: the folder of the runs, each under its name.
    Returns:
        ({name: `Run`}, {name: `Evaluation`}); among the facts "epoch_seconds", the median training time of an epoch.
    """
    from keras_sat.evaluate import evaluate
    from keras_sat.train import prepare_built_in, train

    trained, evaluations = {}, {}
    for name, experiment in experiments.items():
        start = Path(experiment.init_from or "").name
        if start in experiments:  # not the run of that name from elsewhere
            experiment = dataclasses.replace(experiment, init_from=str(runs / start))
        prepare_built_in(experiment)
        trained[name] = train(experiment, runs / name)
        lines = (trained[name].folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        seconds = statistics.median(json.loads(line)["training_seconds"] for line in lines)
        evaluation = evaluate(trained[name], split)
        evaluations[name] = dataclasses.replace(evaluation, facts={**evaluation.facts, "epoch_seconds": seconds})
    return trained, evaluations


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m keras_sat.compare", description=__doc__.split("\n\n")[1])
    parser.add_argument("configs", nargs="+", metavar="YAML", help="experiments; a run is called like its file")
    parser.add_argument("--runs", default="runs", metavar="DIR", help="where the runs are (default: runs)")
    parser.add_argument("--output", default="comparison", metavar="DIR", help="for table and plot (default: comparison)")
    parser.add_argument("--split", default="test", help="train, val or test (default)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all of them, such as seed=2")
    args = parser.parse_args(arguments)
    experiments = {}
    for path in args.configs:
        name = Path(path).stem
        if name in experiments:
            raise UserError(f"{path}: another experiment is called {name} too; rename one of the files")
        experiments[name] = configuration.load(path, args.set)
    _, evaluations = compare(experiments, Path(args.runs), args.split)

    from keras_sat.evaluation.report import HEADLINE, write_comparison
    from keras_sat.visualize.comparison import save_comparison

    output = Path(args.output)
    text = write_comparison(output, evaluations, HEADLINE, systems_as="rows")
    save_comparison(output / "plot.png", evaluations)
    print(f"\n{args.split} split, percent, 95% confidence intervals\n\n{text}\n\n{output}/table.md, table.json, plot.png")


if __name__ == "__main__":
    main()
