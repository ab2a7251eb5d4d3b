"""Evaluator: scores a trained run and blesses it if its scores suffice."""

import dataclasses

from keras_sat.evaluation.evaluate import evaluate
from keras_sat.evaluation.report import SCORES, read_scores
from keras_sat.exporting.versions import versions
from keras_sat.utils.json_files import read_json
from pipeline.blessing import verdicts

_CARD = {
    "type": "object",
    "required": ["version", "runs", "decoding", "scores"],
    "properties": {
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["checkpoint", "data"],
                "properties": {"data": {"type": "object", "required": ["fingerprint"]}},
            },
        },
        "decoding": {"type": "object"},
        "scores": {"type": "object", "additionalProperties": SCORES},
    },
}


def split_of(data):
    """The split by which models are judged: test, or val if there is no test split."""
    return "test" if "test" in data.manifest["splits"] else "val"


def evaluate_and_bless(run, metrics, split=None):
    """Evaluates a run and gives the verdict on it, see `bless`.

    Args:
        run: a `keras_sat.runs.run.Run`.
        metrics: names of metrics.
        split: the split to judge by (default: see `split_of`).

    Returns:
        The verdict's file.
    """
    split = split or split_of(run.data())
    evaluate(run, split, metrics)
    return bless(run, split)


def bless(run, split):
    """Gives the verdict on an evaluated run, in blessing/evaluator.json.

    Args:
        run: a `keras_sat.runs.run.Run`, whose experiment gives the thresholds and the folder to
            push to.
        split: the split to judge by.

    Returns:
        The verdict's file.

    Raises:
        UserError: NOT_BLESSED, or an evaluation or a model card cannot be read.
    """
    scores = read_scores(run.folder / "evaluation").get(split, {})
    last = last_version(run)
    wanted = _thresholds(run.experiment.push)
    before = {}
    reasons = []
    if last:
        before = last["scores"].get(split, {})
        data = {each["data"]["fingerprint"] for each in last["runs"]}
        if data != {run.facts.data} or not before.keys() >= wanted.keys():
            before = {}
            reasons.append(
                f"version {last['version']} has no such scores on this data to compare with; "
                "push.must_not_lose=null skips the comparison"
            )
    allowed_loss = run.experiment.push.must_not_lose
    for name, least in wanted.items():
        if name not in scores:
            reasons.append(f"{name} was not measured; see --metrics")
        elif not scores[name] >= least:
            reasons.append(f"{name} is {scores[name]:.4f}, push.at_least.{name} {least}")
        elif before and not scores[name] >= before[name] - allowed_loss:
            reasons.append(
                f"{name} is {scores[name]:.4f}, that of version {last['version']} "
                f"{before[name]:.4f}, push.must_not_lose {allowed_loss}"
            )
    version = last["version"] if last else None
    return verdicts.give(run, "evaluator", reasons, split=split, scores=scores, last=version)


def _thresholds(push):
    """{metric: the least score} of a `keras_sat.config.Push`."""
    scores = dataclasses.asdict(push.at_least)
    return {name: least for name, least in scores.items() if least is not None}


def last_version(run):
    """The model card of the newest pushed version of another model than the run's.

    Returns:
        The card, or None if there is no such version or nothing is to be compared.

    Raises:
        UserError: a card cannot be read.
    """
    if run.experiment.push.must_not_lose is None:
        return None
    folder = verdicts.model_folder(run)
    for version in versions(folder):
        path = folder / str(version) / "model_card.json"
        card = read_json(
            path,
            _CARD,
            "so nothing can be compared with it; push.must_not_lose=null skips the comparison",
        )
        model = {
            "checkpoints": [each["checkpoint"] for each in card["runs"]],
            "decoding": card["decoding"],
        }
        if model != verdicts.model_of(run):
            return card
    return None
