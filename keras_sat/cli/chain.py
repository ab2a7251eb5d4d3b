"""The whole chain, from a corpus to a pushed model. Steps whose inputs are unchanged are skipped.

lineage.json in the run's folder says what came from what.
"""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from keras_sat import config as configuration
from keras_sat.data.prepared import PreparedData, open_prepared
from keras_sat.evaluation.evaluate import evaluate
from keras_sat.evaluation.scorers import METRICS
from keras_sat.runs.run import open_run
from keras_sat.training.train import train
from keras_sat.utils.files import write_text
from keras_sat.utils.hashing import fingerprint, sha256_file
from keras_sat.utils.json_files import read_json
from pipeline.blessing import evaluator, infra_validator, pusher, verdicts
from pipeline.preparation.prepare import prepare

_LINEAGE = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["inputs", "outputs"],
        "properties": {"inputs": {"type": "object"}, "outputs": {"type": "object"}},
    },
}


class Step(NamedTuple):
    """One component's work.

    Attributes:
        name: the component's name in lineage.json.
        inputs: {name: fingerprint} of all that decides the outputs.
        outputs: called for the paths of the output files, some of which may not exist.
        work: called to make the outputs.
    """

    name: str
    inputs: dict
    outputs: Callable
    work: Callable


@dataclasses.dataclass(frozen=True)
class Chain:
    """What the steps are built from.

    Attributes:
        experiment: the `keras_sat.config.Experiment`.
        folder: the run's folder, a `Path`.
        metrics: names of metrics for the Evaluator.
        data: the prepared data set.
        lineage: {component: {"inputs", "outputs"}} of the steps so far.
    """

    experiment: configuration.Experiment
    folder: Path
    metrics: list
    data: PreparedData
    lineage: dict

    @functools.cached_property
    def run(self):
        """The trained run, with the experiment's settings of decoding and pushing."""
        return dataclasses.replace(open_run(self.folder), experiment=self.experiment)

    @property
    def split(self):
        """The split by which the run is judged."""
        return evaluator.split_of(self.data)

    @property
    def settings(self):
        """The experiment as a dictionary."""
        return configuration.as_dict(self.experiment)

    def outputs_of(self, name):
        """The fingerprint of a finished step's outputs."""
        return _hash(self.lineage[name]["outputs"])


def run_chain(experiment, folder, metrics=METRICS, beam_flags=()):
    """Runs the chain.

    Args:
        experiment: a `keras_sat.config.Experiment`.
        folder: the run's folder.
        metrics: names of metrics for the Evaluator.
        beam_flags: Beam's command-line flags.

    Returns:
        The lineage: {component: {"inputs": {name: fingerprint}, "outputs": {file: SHA-256}}}. The
        Evaluator's verdict is the component ModelBlessing.

    Raises:
        UserError: what a component raises; NOT_BLESSED, if the experiment says where to push.
    """
    folder = Path(folder)
    prepare(experiment.prepare, experiment.data.path, beam_flags)
    data = open_prepared(experiment.data.path)
    path = folder / "lineage.json"
    before = (
        read_json(path, _LINEAGE, "remove it, and all steps run again") if path.exists() else {}
    )
    # Steps that this call does not reach keep their entries: their outputs still come from there.
    lineage = before | _data_lineage(data)
    chain = Chain(experiment, folder, metrics, data, lineage)
    builders = [_trainer, _evaluator]
    if experiment.push.folder:
        builders += [_model_blessing, _infra_validator, _pusher]
    for build in builders:
        step = build(chain)
        if before.get(step.name) == _entry(step):
            print(f"{step.name}: unchanged, skipped")
        else:
            step.work()
        lineage[step.name] = _entry(step)
        write_text(path, json.dumps(lineage, indent=2) + "\n")
    return lineage


def _entry(step):
    """A step's entry in lineage.json, with its outputs as they are now."""
    return {"inputs": step.inputs, "outputs": _hashes(step.outputs())}


def _trainer(chain):
    settings = chain.settings
    for section in ("prepare", "push", "decoding"):
        del settings[section]
    best = chain.folder / "checkpoints" / "best"
    return Step(
        "Trainer",
        inputs={"Transform": chain.data.manifest["fingerprint"], "settings": _hash(settings)},
        outputs=lambda: sorted(best.glob("*")),
        work=lambda: train(chain.experiment, chain.folder),
    )


def _evaluator(chain):
    settings = [chain.split, list(chain.metrics), chain.settings["decoding"]]
    report = chain.folder / "evaluation" / f"{chain.split}.json"
    return Step(
        "Evaluator",
        inputs={
            "Transform": chain.data.manifest["fingerprint"],
            "Trainer": chain.outputs_of("Trainer"),
            "settings": _hash(settings),
        },
        outputs=lambda: [report],
        work=lambda: evaluate(chain.run, chain.split, chain.metrics),
    )


def _model_blessing(chain):
    last = evaluator.last_version(chain.run)
    settings = [chain.settings["push"], chain.settings["decoding"]]
    verdict = verdicts.path_of(chain.run, "evaluator")
    return Step(
        "ModelBlessing",
        inputs={
            "Evaluator": chain.outputs_of("Evaluator"),
            "settings": _hash(settings),
            "last": _hash(last) if last else None,
        },
        outputs=lambda: [verdict],
        work=lambda: evaluator.bless(chain.run, chain.split),
    )


def _infra_validator(chain):
    # The thresholds are left out, because they do not change what is exported.
    push = chain.settings["push"]
    settings = [chain.settings["decoding"]]
    settings += [push[name] for name in ("folder", "max_batch_size", "pictures")]
    return Step(
        "InfraValidator",
        inputs={
            "Evaluator": chain.outputs_of("Evaluator"),
            "settings": _hash(settings),
            "Trainer": chain.outputs_of("Trainer"),
        },
        outputs=lambda: infra_validator.outputs(chain.run),
        work=lambda: infra_validator.validate(chain.run),
    )


def _pusher(chain):
    parents = ("ModelBlessing", "InfraValidator")
    return Step(
        "Pusher",
        inputs={name: chain.outputs_of(name) for name in parents},
        outputs=lambda: infra_validator.outputs(chain.run),
        work=lambda: print(f"Pusher: {pusher.push(chain.run)}"),
    )


def _data_lineage(data):
    """The components whose outputs a prepared data set holds."""
    manifest = data.manifest
    source = {"source": manifest["source"], "settings": _hash(manifest["settings"])}
    if "boxes" in manifest:
        source["boxes"] = manifest["boxes"]
    examples = {"ExampleGen": _hash(source)}
    described = {
        "ExampleGen": (source, "failures-*.jsonl"),
        "StatisticsGen": (examples, "statistics.*"),
        "SchemaGen": (examples, "schema.yaml"),
        "ExampleValidator": (examples, "anomalies.json"),
    }
    lineage = {}
    for name, (inputs, pattern) in described.items():
        outputs = _hashes(sorted(data.folder.glob(pattern)))
        lineage[name] = {"inputs": inputs, "outputs": outputs}
    encoder = {
        "vocabulary": manifest["vocabulary"]["fingerprint"],
        "encoder": manifest["encoder"]["weights"],
    }
    shards = {shard["name"]: shard["sha256"] for shard in data.all_shards()}
    lineage["Transform"] = {"inputs": examples | encoder, "outputs": shards}
    return lineage


def _hash(value):
    return fingerprint(json.dumps(value, sort_keys=True))


def _hashes(paths):
    """{file name: SHA-256} of the files that exist."""
    hashes = {}
    for path in paths:
        if path.exists():
            hashes[path.name] = sha256_file(path)
    return hashes
