"""python -m pipeline.evaluator --run runs/scenes_soft --push serving/models/scenes_soft

Evaluator: scores a trained run and blesses it, where its scores reach `push.at_least` and are no more than
`push.must_not_lose` below those of the last version in the model's folder.
"""

import dataclasses
import json

from keras_sat.evaluation.scorers import METRICS, check_metrics
from keras_sat.export import versions
from keras_sat.utils.errors import UserError, command
from pipeline import blessing


def split_of(data):
    """The split by which models are judged: test, or val where there is none."""
    return "test" if "test" in data.manifest["splits"] else "val"


def bless(run, split):
    """Gives the verdict on an evaluated run, in blessing/evaluator.json.

    Args:
        run: a `keras_sat.runs.run.Run`, whose experiment says what is asked and where to push.
    Raises:
        UserError: NOT_BLESSED; an evaluation or a model card cannot be read.
    """
    from keras_sat.evaluation.report import read_scores

    scores, last, asked = (
        read_scores(run.folder / "evaluation").get(split, {}),
        last_version(run),
        run.experiment.push,
    )
    wanted = {
        name: least
        for name, least in dataclasses.asdict(asked.at_least).items()
        if least is not None
    }
    reasons, before = [], {}
    if last:
        before, data = (
            last["scores"].get(split, {}),
            {each["data"]["fingerprint"] for each in last["runs"]},
        )
        if data != {run.facts["data"]} or not before.keys() >= wanted.keys():
            before = {}
            reasons.append(
                f"version {last['version']} has no such scores on this data, so that nothing can be said to be lost or not; "
                "push.must_not_lose=null goes without"
            )
    for name, least in wanted.items():
        if name not in scores:
            reasons.append(f"{name} was not measured; see --metrics")
        elif not scores[name] >= least:
            reasons.append(f"{name} is {scores[name]:.4f}, push.at_least.{name} {least}")
        elif before and not scores[name] >= before[name] - asked.must_not_lose:
            reasons.append(
                f"{name} is {scores[name]:.4f}, that of version {last['version']} {before[name]:.4f}, "
                f"push.must_not_lose {asked.must_not_lose}"
            )
    blessing.give(
        run, "evaluator", reasons, split=split, scores=scores, last=last and last["version"]
    )


def last_version(run):
    """The model card of the newest version that is not this very model, or None: nothing to compare with.

    Raises:
        UserError: it cannot be read.
    """
    if run.experiment.push.must_not_lose is None:
        return None
    folder = blessing.model_folder(run)
    for version in versions(folder):
        path = folder / str(version) / "model_card.json"
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            model = {
                "checkpoints": [each["checkpoint"] for each in card["runs"]],
                "decoding": card["decoding"],
            }
        except (OSError, ValueError, LookupError) as error:
            raise UserError(
                f"{path}: cannot be read ({error}), so that nothing can be compared; push.must_not_lose=null goes without"
            ) from error
        if model != blessing.model_of(run):
            return card
    return None


@command
def main(arguments=None):
    parser = blessing.parser("evaluator", __doc__)
    parser.add_argument("--split", help="to judge by (default: test, or val where there is none)")
    parser.add_argument(
        "--metrics", default=",".join(METRICS), help="comma-separated (default: %(default)s)"
    )
    args = parser.parse_args(arguments)
    run, metrics = blessing.run_of(args), check_metrics(args.metrics.split(","))
    from keras_sat.evaluate import evaluate

    split = args.split or split_of(run.data())
    evaluate(run, split, metrics)
    bless(run, split)
    print(f"{blessing.BLESSED}: {blessing.path_of(run, 'evaluator')}")


if __name__ == "__main__":
    main()
