"""python -m pipeline.run --config configs/scenes_soft.yaml [any Beam option]

The whole chain: ExampleGen, StatisticsGen, SchemaGen, ExampleValidator and Transform, then Trainer and Evaluator, and with
--push the Evaluator's blessing, InfraValidator and Pusher. What is done and unchanged is skipped, what was interrupted goes
on; lineage.json in the run's folder says what came from what.
"""

import argparse
import dataclasses
import functools
import hashlib
import json
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.data.prepared import open_prepared
from keras_sat.evaluation.scorers import METRICS, check_metrics
from keras_sat.utils.errors import command
from keras_sat.utils.files import write_text
from pipeline import blessing, evaluator, infra_validator, pusher


def run(experiment, folder, metrics=METRICS, beam_flags=()):
    """Runs the chain.

    Args:
        experiment: a `keras_sat.config.Experiment`. folder: the run's folder. metrics: names for the Evaluator.
        beam_flags: Beam's command-line flags.
    Returns:
        The lineage: {component: {"inputs": {name: fingerprint}, "outputs": {file: SHA-256}}}, and the Evaluator's verdict
        as ModelBlessing.
    Raises:
        UserError: what a component raises; NOT_BLESSED, where the experiment says where to push.
    """
    from keras_sat.evaluate import evaluate
    from keras_sat.runs.run import open_run
    from keras_sat.train import train
    from pipeline.prepare import prepare

    folder = Path(folder)
    prepare(experiment.prepare, experiment.data.path, beam_flags)
    data = open_prepared(experiment.data.path)
    path = folder / "lineage.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    lineage = before | _data_lineage(
        data
    )  # of what is not reached this time, the outputs still come from what it says

    def component(name, inputs, outputs, work):
        if before.get(name) == {"inputs": inputs, "outputs": _hashes(outputs())}:
            print(f"{name}: unchanged, skipped")
        else:
            work()
        lineage[name] = {"inputs": inputs, "outputs": _hashes(outputs())}
        write_text(path, json.dumps(lineage, indent=2) + "\n")

    settings = configuration.as_dict(experiment)
    settings.pop("prepare")
    push, decoding = settings.pop("push"), settings.pop("decoding")
    inputs = {"Transform": data.manifest["fingerprint"], "settings": _hash(settings)}
    best = folder / "checkpoints" / "best"
    component("Trainer", inputs, lambda: sorted(best.glob("*")), lambda: train(experiment, folder))
    trained = dataclasses.replace(open_run(folder), experiment=experiment)
    split = evaluator.split_of(data)
    inputs = {
        "Transform": data.manifest["fingerprint"],
        "Trainer": _hash(lineage["Trainer"]["outputs"]),
    }
    inputs["settings"] = _hash([split, list(metrics), decoding])
    report = folder / "evaluation" / f"{split}.json"
    component("Evaluator", inputs, lambda: [report], lambda: evaluate(trained, split, metrics))
    if not push["folder"]:
        return lineage

    last = evaluator.last_version(trained)
    inputs = {
        "Evaluator": _hash(lineage["Evaluator"]["outputs"]),
        "settings": _hash([push, decoding]),
    }
    verdict = blessing.path_of(trained, "evaluator")
    blessed = inputs | {"last": last and _hash(last)}
    component("ModelBlessing", blessed, lambda: [verdict], lambda: evaluator.bless(trained, split))
    settings = [
        decoding,
        *(push[name] for name in ("folder", "max_batch_size", "pictures")),
    ]  # the thresholds change nothing of what is exported
    inputs |= {"Trainer": _hash(lineage["Trainer"]["outputs"]), "settings": _hash(settings)}
    exported = functools.partial(infra_validator.outputs, trained)
    component("InfraValidator", inputs, exported, lambda: infra_validator.validate(trained))
    inputs = {name: _hash(lineage[name]["outputs"]) for name in ("ModelBlessing", "InfraValidator")}
    component("Pusher", inputs, exported, lambda: print(f"Pusher: {pusher.push(trained)}"))
    return lineage


def _data_lineage(data):
    """The components whose outputs a prepared data set holds."""
    manifest = data.manifest
    examples = {"source": manifest["source"], "settings": _hash(manifest["settings"])}
    examples |= {"boxes": manifest["boxes"]} if "boxes" in manifest else {}
    parents = {"ExampleGen": _hash(examples)}
    encoder = {
        "vocabulary": manifest["vocabulary"]["fingerprint"],
        "encoder": manifest["encoder"]["weights"],
    }
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
    shards = {
        shard["name"]: shard["sha256"] for each in manifest["splits"].values() for shard in each
    }
    lineage["Transform"] = {"inputs": parents | encoder, "outputs": shards}
    return lineage


def _hash(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _hashes(paths):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.exists()
    }


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.run",
        description=__doc__.split("\n\n")[1],
        epilog="Any other option goes to Beam.",
    )
    parser.add_argument(
        "--config", required=True, metavar="YAML", help="the experiment, with its `prepare` section"
    )
    parser.add_argument(
        "--run", metavar="DIR", help="the run's folder (default: runs/ and the experiment's name)"
    )
    parser.add_argument(
        "--push",
        metavar="DIR",
        help="the model's folder, such as serving/models/NAME (push.folder)",
    )
    parser.add_argument(
        "--metrics", default=",".join(METRICS), help="comma-separated (default: %(default)s)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="such as train.epochs=10"
    )
    args, beam_flags = parser.parse_known_args(arguments)
    push = [("push.folder", args.push)] if args.push else []
    experiment = configuration.load(args.config, args.set + push)
    folder = args.run or f"runs/{Path(args.config).stem}"
    run(experiment, folder, check_metrics(args.metrics.split(",")), beam_flags)
    print(f"{folder}/lineage.json")


if __name__ == "__main__":
    main()
