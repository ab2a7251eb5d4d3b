"""What a served model is, for people (Markdown) and for programs (JSON)."""

import dataclasses

from keras_sat.evaluation.report import read_scores, recorded_table
from keras_sat.utils.version import packages

LICENCE = (
    "keras_sat is under the Apache License 2.0. The weights come from the pictures, captions and pretrained CNN named here, "
    "whose own terms decide how the model may be used."
)
LIMITS = (
    "It describes what its training captions describe, in their words and with their prejudices; of other kinds of pictures "
    "its captions are wrong, and as confident.",
    "Captions are not checked against the picture. Do not use them where a wrong one does harm, such as in medicine, nor to "
    "tell who a person is.",
    "Attention shows where the model looked, not why it chose a word.",
    "Scores are log-probabilities under the model: they rank captions of one picture, and say little between pictures.",
)


def describe(run, serving):
    """The card as JSON has it.

    Args:
        run: a `keras_sat.runs.run.Run` or `RunEnsemble`. serving: what else is to be recorded, {key: value}.
    Raises:
        UserError: an evaluation cannot be read.
    """
    return {
        **serving,
        "runs": [_member(each) for each in run.members],
        "scores": read_scores(run.folder / "evaluation"),
        "vocabulary": {"size": len(run.vocabulary()), "fingerprint": run.facts["vocabulary"]},
        "encoder": run.facts["encoder"],
        "proposals": run.facts["proposals"],
        "decoding": dataclasses.asdict(run.experiment.decoding),
        "packages": packages(),
        "licence": LICENCE,
        "limits": LIMITS,
    }


def _member(run):
    return {**run.describe(), "scores": read_scores(run.folder / "evaluation")}


def to_markdown(card):
    """The card of `describe` as a page."""
    encoder, runs = card["encoder"], card["runs"]
    scored = {each["run"]: each["scores"] for each in runs} | (
        {"ensemble": card["scores"]} if len(runs) > 1 else {}
    )
    scores = {
        f"{name}, {split}": {"scores": values}
        for name, splits in scored.items()
        for split, values in splits.items()
    }
    sections = {
        "Training": _bullets(
            f"`{each['run']}`: {each['model']['name']}, on `{each['data']['path']}` ({each['data']['fingerprint']})"
            for each in runs
        ),
        "Input": f"JPEG, PNG, GIF (the first frame) or BMP of {card['max_pixels']:,} pixels at most. The CNN, "
        f"{encoder['name']} ({encoder['weights']}), sees {encoder['image_size']} x {encoder['image_size']} pixels "
        f"({encoder['resize']}).",
        "Output": f"Captions of {card['vocabulary']['size']} words ({card['vocabulary']['fingerprint']}), decoded with\n\n"
        + _bullets(f"{name}: {value}" for name, value in card["decoding"].items()),
        "Scores, percent": recorded_table(scores) if scores else "Not evaluated.",
        "Licence": card["licence"],
        "Limits": _bullets(card["limits"]),
    }
    title = f"# {card['name']}, version {card['version']}\n\nA captioner of pictures for TensorFlow Serving."
    return "\n\n".join([title, *(f"## {name}\n\n{text}" for name, text in sections.items())]) + "\n"


def _bullets(lines):
    return "\n".join(f"* {line}" for line in lines)
