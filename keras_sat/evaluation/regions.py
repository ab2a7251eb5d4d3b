"""Quality against the number of regions at test time.

Reference: Pedersoli et al. 2017, figure 4.
"""

import dataclasses

import numpy as np

from keras_sat.evaluation.attention_correctness import present
from keras_sat.evaluation.evaluate import evaluate_model
from keras_sat.runs.loading import load_captioner, load_model
from keras_sat.utils.errors import UserError


def sweep(run, split="test", metrics=("bleu", "cider"), counts=(), limit=0, folder=None):
    """Evaluates a run with several numbers of regions.

    Args:
        run: a `Run`.
        split: train, val or test.
        metrics: names, see `keras_sat.evaluation.scorers`.
        counts: strides of the grid's or transformers' cells, or numbers of proposals. If empty,
            every stride that gives another number of regions, or 1, 2, 5, 10, 20, 50, … proposals.
        limit: see `keras_sat.evaluation.evaluate.evaluate`.
        folder: see `keras_sat.evaluation.evaluate.evaluate`.

    Returns:
        {title: `Evaluation`}, by increasing number of regions, which is among the facts as
        "regions".

    Raises:
        UserError: a stride or a number that the regions do not have.
    """
    data = run.data(folder)
    data.shards(split)
    model = load_model(run)
    setting, possible = _possible(model, data)
    for count in counts:
        if not 1 <= count <= max(possible):
            raise UserError(
                f"--counts {count}: model.{setting} lies between 1 and {max(possible)} here"
            )
    captioner = load_captioner(run, model)
    evaluations = {}
    for count in counts or possible:
        setattr(model.areas, setting, count)
        captioned, evaluation = evaluate_model(captioner, run, data, split, metrics, limit)
        regions = float(np.mean([present(each.boxes).sum() for each in captioned]))
        facts = {**evaluation.facts, "regions": regions}
        evaluations[f"{setting}={count}"] = dataclasses.replace(evaluation, facts=facts)
    return dict(sorted(evaluations.items(), key=lambda item: item[1].facts["regions"]))


def _possible(model, data):
    """How the number of regions is set at test time.

    Returns:
        (the name of the areas' setting, the values worth trying).
    """
    if "boxes" in model.input_shapes:
        most = model.input_shapes["boxes"][0]
        return "test_boxes", _round_numbers(most)
    height, width, _ = data.feature_shape
    strides = {}  # {(rows, columns): the smallest stride that gives so many cells}
    for stride in range(1, min(height, width) + 1):
        strides.setdefault((-(-height // stride), -(-width // stride)), stride)
    return "test_stride", list(strides.values())


def _round_numbers(most):
    """1, 2, 5, 10, 20, 50, … below `most`, and `most` itself."""
    numbers = []
    for power in (1, 10, 100, 1000):
        for digit in (1, 2, 5):
            if digit * power < most:
                numbers.append(digit * power)
    return [*numbers, most]
