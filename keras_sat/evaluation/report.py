"""Results of evaluations as people and other programs read them."""

import csv
import io
import json

from keras_sat.evaluation import resampling
from keras_sat.evaluation.scorers import LABELS
from keras_sat.utils.errors import UserError
from keras_sat.utils.files import write_text

ROWS = {
    **LABELS,
    "truth": "Attention in the noun's box, true captions",
    "truth_uniform": "… true captions, uniform attention",
    "truth_best": "… true captions, best possible over these regions",
    "generated": "Attention in the noun's box, generated captions",
    "generated_uniform": "… generated captions, uniform attention",
    "generated_best": "… generated captions, best possible over these regions",
    "pointing": "Nouns with their strongest region on the object",
    "misbound": "Attributes given to the wrong object (lower is better)",
    "distinct": "Distinct captions",
    "seen_in_training": "Captions that training showed word for word",
    "words_used": "Distinct words used",
    "length": "Words a caption",
    "reference_length": "Words a reference",
    "attention_entropy": "Entropy of the attention, nats",
    "attention_change": "Change of the attention from word to word (0–1)",
    "regions": "Regions",
    "epoch_seconds": "Seconds an epoch",
}
_DECIMALS = {  # of what is not in percent
    "words_used": 0,
    "length": 1,
    "reference_length": 1,
    "attention_entropy": 2,
    "attention_change": 2,
    "regions": 0,
    "epoch_seconds": 0,
}


HEADLINE = (
    "bleu1",
    "bleu4",
    "meteor",
    "cider",
    "spice",
    "misbound",
    "truth",
    "generated",
    "pointing",
)
HEADLINE += ("attention_entropy", "attention_change", "regions", "epoch_seconds")


def table(systems, names=tuple(ROWS), systems_as="columns"):
    """A Markdown table of scores, in percent or what the label says, with their 95% confidence intervals.

    Args:
        systems: {title: `Evaluation`}. names: of the scores to show. systems_as: `columns` or `rows`.
    """
    return recorded_table(
        {title: described(each) for title, each in systems.items()}, names, systems_as
    )


def recorded_table(systems, names=tuple(ROWS), systems_as="columns"):
    """As `table`, of {title: {"scores": {name: number}, "intervals": {name: (low, high)}}}; intervals may be missing."""
    numbers = {
        title: {
            name: (value, *each.get("intervals", {}).get(name, ()))
            for name, value in each["scores"].items()
        }
        for title, each in systems.items()
    }
    return _markdown(numbers, names, systems_as)


def differences(systems, names=tuple(ROWS), systems_as="columns"):
    """A Markdown table of what the systems have more than the first of them; bold where the interval excludes zero.

    Raises:
        UserError: they did not caption the same images.
    """
    first, *others = systems
    numbers = {f"{other} − {first}": systems[other].differences(systems[first]) for other in others}
    return _markdown(numbers, names, systems_as, sign="+")


def _markdown(systems, names, systems_as, sign=""):
    """Of {title: {score name: (value, low, high) or (value,)}}."""
    names = [name for name in names if any(name in numbers for numbers in systems.values())]
    lines = [["", *(title.replace("|", "\\|") for title in systems)]]
    lines += [
        [ROWS[name], *(_cell(name, numbers.get(name), sign) for numbers in systems.values())]
        for name in names
    ]
    if systems_as == "rows":
        lines = list(zip(*lines))
    texts = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([texts[0], "|---" * len(lines[0]) + "|", *texts[1:]])


def _cell(name, numbers, sign):
    if not numbers:
        return ""
    value, *ends = formatted(name, numbers, sign)
    if sign and (numbers[1] > 0 or numbers[2] < 0):
        value = f"**{value}**"
    return f"{value} ({ends[0]} to {ends[1]})" if ends else value


def formatted(name, numbers, sign=""):
    """Numbers of the score of this name as texts: in percent, or what its label says."""
    factor, decimals = (1, _DECIMALS[name]) if name in _DECIMALS else (100, 1)
    return [f"{factor * number:{sign}.{decimals}f}" for number in numbers]


def write(folder, split, title, evaluation, about=()):
    """Writes a system's SPLIT.json and SPLIT_images.csv; `about`: what else the first shall tell, {name: JSON's value}."""
    write_text(folder / f"{split}_images.csv", _images({title: evaluation}))
    write_text(folder / f"{split}.json", to_json(described(evaluation) | dict(about)))


def read_scores(folder):
    """{split: {score name: number}} of the SPLIT.json in a folder.

    Raises:
        UserError: one that cannot be read.
    """
    scores = {}
    for path in sorted(folder.glob("*.json")):
        if not path.stem.endswith("_captions"):
            try:
                scores[path.stem] = json.loads(path.read_text(encoding="utf-8"))["scores"]
            except (OSError, ValueError, LookupError, TypeError) as error:
                raise UserError(
                    f"{path}: cannot be read ({error}); evaluate the run again"
                ) from error
    return scores


def write_comparison(folder, systems, names=tuple(ROWS), systems_as="columns"):
    """Writes table.md, table.json and images.csv of {title: `Evaluation`} on the same images; returns the Markdown text."""
    first, *others = systems
    text = table(systems, names, systems_as)
    everything = {"systems": {title: described(each) for title, each in systems.items()}}
    if others:
        text += f"\n\n{differences(systems, names, systems_as)}"
        more = {other: systems[other].differences(systems[first]) for other in others}
        everything |= {"differences_to": first, "differences": more}
    write_text(folder / "table.md", text + "\n")
    write_text(folder / "table.json", to_json(everything))
    write_text(folder / "images.csv", _images(systems))
    return text


def described(evaluation):
    """What is measured of an `Evaluation`, for JSON."""
    return {
        "images": len(evaluation.captions),
        "scores": evaluation.values,
        "intervals": evaluation.intervals,
        "bootstrap": {"level": resampling.LEVEL, "samples": resampling.SAMPLES},
    }


def to_json(value):
    """A JSON file's text."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _images(systems):
    """CSV, a line an image and system: its caption, how many references it has, its scores (empty: nothing to judge)."""
    names = [name for name in ROWS if any(name in each.scores for each in systems.values())]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", "image", "caption", "references", *names])
    for title, evaluation in systems.items():
        each = evaluation.each()
        for image, caption in evaluation.captions.items():
            scores = (each[name][image] if name in each else float("nan") for name in names)
            written = ("" if score != score else f"{score:.6g}" for score in scores)
            writer.writerow([title, image, caption, len(evaluation.references[image]), *written])
    return text.getvalue()
