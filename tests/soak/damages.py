"""Checkpoints damaged at random places: what is found falls back or is refused."""

import random
import shutil

import numpy as np

from keras_sat.runs.soundness import fault_in
from keras_sat.utils.errors import UserError
from tests.support.damages import DAMAGES, SmallTraining, part_of


def case(folder, which, part, places, seed):
    """Damages a part of a checkpoint in every way.

    Args:
        folder: to work in.
        which: "last", "both last" or "best".
        part: a key of `tests.support.damages.PARTS`.
        places: how often in each way, every time at another place.
        seed: of the places.

    Returns:
        {"tried", "fell back", "refused", "unharmed": how often that happened, "lost": what else
        happened}. Unharmed is a state that was restored to its last value in spite of the damage.
    """
    training = SmallTraining(folder / "run")
    training.train(5, best=True)
    before = training.values()
    training.train(5)
    newest = training.values()
    draws = random.Random(f"{seed} {which} {part}")
    counts = dict.fromkeys(("tried", "fell back", "refused", "unharmed"), 0) | {"lost": []}
    for name, damage in DAMAGES.items():
        for _ in range(places):
            training.run = shutil.copytree(folder / "run", folder / "damaged")
            place = draws.random()
            for path in _files(training.run / "checkpoints", which, part):
                damage(path, place)
            outcome = _outcome(training, which, before, newest)
            shutil.rmtree(training.run)
            counts["tried"] += 1
            if outcome in counts:
                counts[outcome] += 1
            else:
                counts["lost"].append(f"{outcome} ({name} at {place})")
    return counts


def _files(checkpoints, which, part):
    if which == "best":
        return [part_of(checkpoints / "best", 5, part)]
    numbers = (5, 10) if which == "both last" and part != "note" else (10,)
    return [part_of(checkpoints / "last", number, part) for number in numbers]


def _outcome(training, which, before, newest):
    """What happened, in words; anything but the words of `case` is a loss."""
    try:
        restored = training.restore()
    except UserError:
        return "refused"
    if restored.path is None:
        return "started anew"
    values = training.values()
    if which == "best":
        path = training.run / "checkpoints" / "best" / "ckpt-5"
        if restored.best:
            return "fell back"
        return "unharmed" if fault_in(path) is None else "a damaged best is not told"
    if restored.damaged:
        return "fell back" if _equal(values, before) else "fell back to other values"
    return "unharmed" if _equal(values, newest) else "damaged values were restored"


def _equal(values, others):
    return all(np.array_equal(a, b) for a, b in zip(values, others, strict=True))
