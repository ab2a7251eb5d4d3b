"""The model card: what a served model is, for people (Markdown) and for programs (JSON)."""

import dataclasses

from keras_sat.evaluation.report import read_scores, recorded_table
from keras_sat.runs import loading
from keras_sat.utils.version import packages

LICENCE = (
    "keras_sat is under the Apache License 2.0. The weights come from the pictures, captions and "
    "pretrained CNN named here, whose own terms decide how the model may be used."
)
LIMITS = (
    "It describes what its training captions describe, in their words and with their prejudices; "
    "of other kinds of pictures its captions are wrong, and as confident.",
    "Captions are not checked against the picture. Do not use them where a wrong one does harm, "
    "such as in medicine, nor to tell who a person is.",
    "Attention shows where the model looked, not why it chose a word.",
    "Scores are log-probabilities under the model: they rank captions of one picture, and say "
    "little between pictures.",
)


def describe(run, serving):
    """The card as a dictionary for JSON.

    Args:
        run: a `Run` or `RunEnsemble`.
        serving: further facts to record, {key: value}.

    Raises:
        UserError: an evaluation cannot be read.
    """
    return {
        **serving,
        "runs": [_member(each) for each in run.members],
        "scores": read_scores(run.folder / "evaluation"),
        "vocabulary": {
            "size": len(loading.load_vocabulary(run)),
            "fingerprint": run.facts.vocabulary,
        },
        "encoder": run.facts.encoder,
        "proposals": run.facts.proposals,
        "decoding": dataclasses.asdict(run.experiment.decoding),
        "packages": packages(),
        "licence": LICENCE,
        "limits": LIMITS,
    }


def _member(run):
    return {**loading.describe(run), "scores": read_scores(run.folder / "evaluation")}


def to_markdown(card):
    """The card of `describe` as a Markdown page."""
    sections = {
        "Training": _bullets(_training(run) for run in card["runs"]),
        "Input": _input(card),
        "Output": _output(card),
        "Scores, percent": _scores(card),
        "Licence": card["licence"],
        "Limits": _bullets(card["limits"]),
    }
    page = [
        f"# {card['name']}, version {card['version']}",
        "A captioner of pictures for TensorFlow Serving.",
    ]
    page += [f"## {name}\n\n{text}" for name, text in sections.items()]
    return "\n\n".join(page) + "\n"


def _training(run):
    data = run["data"]
    return f"`{run['run']}`: {run['model']['name']}, on `{data['path']}` ({data['fingerprint']})"


def _input(card):
    encoder = card["encoder"]
    size = encoder["image_size"]
    return (
        f"JPEG, PNG, GIF (the first frame) or BMP of {card['max_pixels']:,} pixels at most. "
        f"The CNN, {encoder['name']} ({encoder['weights']}), "
        f"sees {size} x {size} pixels ({encoder['resize']})."
    )


def _output(card):
    vocabulary = card["vocabulary"]
    settings = _bullets(f"{name}: {value}" for name, value in card["decoding"].items())
    return (
        f"Captions of {vocabulary['size']} words ({vocabulary['fingerprint']}), "
        f"decoded with\n\n{settings}"
    )


def _scores(card):
    """The table of all evaluations, one column per run and split."""
    scored = {run["run"]: run["scores"] for run in card["runs"]}
    if len(card["runs"]) > 1:
        scored["ensemble"] = card["scores"]
    columns = {}
    for name, splits in scored.items():
        for split, values in splits.items():
            columns[f"{name}, {split}"] = {"scores": values}
    return recorded_table(columns) if columns else "Not evaluated."


def _bullets(lines):
    return "\n".join(f"* {line}" for line in lines)
