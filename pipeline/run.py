"""python -m pipeline.run --config configs/scenes_soft.yaml [any Beam option]

The whole chain: ExampleGen, StatisticsGen, SchemaGen, ExampleValidator and Transform, then Trainer and Evaluator. What is
done and unchanged is skipped, what was interrupted goes on; lineage.json in the run's folder says what came from what.
"""

import argparse
import hashlib
import json
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.data.prepared import open_prepared
from keras_sat.errors import command
from keras_sat.evaluation.scorers import METRICS, check_metrics
from keras_sat.files import write_text


def run(experiment, folder, metrics=METRICS, beam_flags=()):
    """Runs the chain.

    Args:
        experiment: a `keras_sat.config.Experiment`. folder: the run's folder. metrics: names for the Evaluator.
        beam_flags: Beam's command-line flags.
    Returns:
        The lineage: {component: {"inputs": {name: fingerprint}, "outputs": {file: SHA-256}}}.
    """
    from keras_sat.evaluate import evaluate
    from keras_sat.runs import open_run
    from keras_sat.train import train
    from pipeline.prepare import prepare

    folder = Path(folder)
    prepare(experiment.prepare, experiment.data.path, beam_flags)
    data = open_prepared(experiment.data.path)
    path = folder / "lineage.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    lineage = _data_lineage(data)

    def component(name, inputs, outputs, work):
        if before.get(name) == {"inputs": inputs, "outputs": _hashes(outputs())}:
            print(f"{name}: unchanged, skipped")
        else:
            work()
        lineage[name] = {"inputs": inputs, "outputs": _hashes(outputs())}
        write_text(path, json.dumps(lineage, indent=2) + "\n")

    settings = configuration.as_dict(experiment)
    settings.pop("prepare")
    decoding = settings.pop("decoding")
    inputs = {"Transform": data.manifest["fingerprint"], "settings": _hash(settings)}
    best = folder / "checkpoints" / "best"
    component("Trainer", inputs, lambda: sorted(best.glob("*")), lambda: train(experiment, folder))
    split = "test" if "test" in data.manifest["splits"] else "val"
    inputs = {"Transform": data.manifest["fingerprint"], "Trainer": _hash(lineage["Trainer"]["outputs"])}
    inputs["settings"] = _hash([split, list(metrics), decoding])
    report = folder / "evaluation" / f"{split}.json"
    component("Evaluator", inputs, lambda: [report], lambda: evaluate(open_run(folder), split, metrics))
    return lineage


def _data_lineage(data):
    """The components whose outputs a prepared data set holds."""
    manifest = data.manifest
    examples = {"source": manifest["source"], "settings": _hash(manifest["settings"])}
    examples |= {"boxes": manifest["boxes"]} if "boxes" in manifest else {}
    parents = {"ExampleGen": _hash(examples)}
    encoder = {"vocabulary": manifest["vocabulary"]["fingerprint"], "encoder": manifest["encoder"]["weights"]}
    described = {
        "ExampleGen": (examples, "failures-*.jsonl"),
        "StatisticsGen": (parents, "statistics.*"),
        "SchemaGen": (parents, "schema.yaml"),
        "ExampleValidator": (parents, "anomalies.json"),
    }
    lineage = {
        name: {"inputs": inputs, "outputs": _hashes(sorted(data.folder.glob(pattern)))}
        for name, (inputs, pattern) in described.items()
    }
    shards = {shard["name"]: shard["sha256"] for each in manifest["splits"].values() for shard in each}
    lineage["Transform"] = {"inputs": parents | encoder, "outputs": shards}
    return lineage


def _hash(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _hashes(paths):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.exists()}


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.run", description=__doc__.split("\n\n")[1], epilog="Any other option goes to Beam."
    )
    parser.add_argument("--config", required=True, metavar="YAML", help="the experiment, with its `prepare` section")
    parser.add_argument("--run", metavar="DIR", help="the run's folder (default: runs/ and the experiment's name)")
    parser.add_argument("--metrics", default=",".join(METRICS), help="comma-separated (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="such as train.epochs=10")
    args, beam_flags = parser.parse_known_args(arguments)
    experiment = configuration.load(args.config, args.set)
    folder = args.run or f"runs/{Path(args.config).stem}"
    run(experiment, folder, check_metrics(args.metrics.split(",")), beam_flags)
    print(f"{folder}/lineage.json")


if __name__ == "__main__":
    main()
