"""Results of evaluations as people and other programs read them."""

import csv
import io
import json
import math

from keras_sat.evaluation import resampling
from keras_sat.evaluation.scorers import LABELS
from keras_sat.utils.files import write_text
from keras_sat.utils.json_files import read_json

SCORES = {"type": "object", "additionalProperties": {"type": ["number", "null"]}}
_EVALUATION = {"type": "object", "required": ["scores"], "properties": {"scores": SCORES}}
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
    "length": "Words per caption",
    "reference_length": "Words per reference",
    "attention_entropy": "Entropy of the attention, nats",
    "attention_change": "Change of the attention from word to word (0–1)",
    "regions": "Regions",
    "epoch_seconds": "Seconds per epoch",
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
    "attention_entropy",
    "attention_change",
    "regions",
    "epoch_seconds",
)


def table(systems, names=tuple(ROWS), systems_as="columns"):
    """A Markdown table of scores with their 95% confidence intervals.

    Args:
        systems: {title: `Evaluation`}.
        names: of the scores to show.
        systems_as: `columns` or `rows`.
    Returns:
        The text. Numbers are in percent or in what the score's label says.
    """
    recorded = {title: described(evaluation) for title, evaluation in systems.items()}
    return recorded_table(recorded, names, systems_as)


def recorded_table(systems, names=tuple(ROWS), systems_as="columns"):
    """The same table as `table`, of systems as they are written to JSON.

    Args:
        systems: {title: {"scores": {name: number}, "intervals": {name: (low, high)}}}. Intervals
            may be missing.
        names: see `table`.
        systems_as: see `table`.
    """
    numbers = {}
    for title, system in systems.items():
        intervals = system.get("intervals", {})
        numbers[title] = {}
        for name, value in system["scores"].items():
            numbers[title][name] = (value, *intervals.get(name, ()))
    return _markdown(numbers, names, systems_as)


def differences(systems, names=tuple(ROWS), systems_as="columns"):
    """A Markdown table of the differences between each system's scores and the first system's.

    They are bold where the confidence interval excludes zero.

    Args:
        systems: {title: `Evaluation`}.
        names: see `table`.
        systems_as: see `table`.
    Raises:
        UserError: the systems captioned different images.
    """
    first, *others = systems
    numbers = {}
    for other in others:
        numbers[f"{other} − {first}"] = systems[other].differences(systems[first])
    return _markdown(numbers, names, systems_as, sign="+")


def _markdown(systems, names, systems_as, sign=""):
    """A Markdown table.

    Args:
        systems: {title: {score name: (value, low, high) or (value,)}}.
        names: see `table`.
        systems_as: see `table`.
        sign: "+" writes the sign of positive numbers, too.
    """
    lines = [["", *(title.replace("|", "\\|") for title in systems)]]
    for name in names:
        if any(name in numbers for numbers in systems.values()):
            cells = [_cell(name, numbers.get(name), sign) for numbers in systems.values()]
            lines.append([ROWS[name], *cells])
    if systems_as == "rows":
        lines = list(zip(*lines))
    header, *rows = ["| " + " | ".join(line) + " |" for line in lines]
    rule = "|---" * len(lines[0]) + "|"
    return "\n".join([header, rule, *rows])


def _cell(name, numbers, sign):
    if not numbers:
        return ""
    value, *ends = formatted(name, numbers, sign)
    if not ends:
        return value
    _, low, high = numbers
    if sign and (low > 0 or high < 0):
        value = f"**{value}**"
    return f"{value} ({ends[0]} to {ends[1]})"


def formatted(name, numbers, sign=""):
    """Numbers of a score as texts, in percent or in what the score's label says.

    Args:
        name: the score's.
        numbers: a sequence.
        sign: "+" writes the sign of positive numbers, too.
    """
    if name in _DECIMALS:
        return [f"{number:{sign}.{_DECIMALS[name]}f}" for number in numbers]
    return [f"{100 * number:{sign}.1f}" for number in numbers]


def write(folder, split, title, evaluation, about=()):
    """Writes a system's SPLIT.json and SPLIT_images.csv.

    Args:
        folder: where to write.
        split: the split's name.
        title: the system's.
        evaluation: its `Evaluation`.
        about: {name: JSON value}, what else SPLIT.json is to hold.
    """
    write_text(folder / f"{split}_images.csv", _images({title: evaluation}))
    write_text(folder / f"{split}.json", to_json(described(evaluation) | dict(about)))


def read_scores(folder):
    """Reads the scores from all SPLIT.json in a folder.

    Returns:
        {split: {score name: number}}.
    Raises:
        UserError: a file cannot be read.
    """
    scores = {}
    for path in sorted(folder.glob("*.json")):
        if path.stem.endswith("_captions"):
            continue
        read = read_json(path, _EVALUATION, "evaluate the run again")["scores"]
        # A score is null where there was nothing to judge.
        scores[path.stem] = {name: value for name, value in read.items() if value is not None}
    return scores


def write_comparison(folder, systems, names=tuple(ROWS), systems_as="columns"):
    """Writes table.md, table.json and images.csv of systems that captioned the same images.

    Args:
        folder: where to write.
        systems: {title: `Evaluation`}.
        names: see `table`.
        systems_as: see `table`.
    Returns:
        The text of table.md.
    """
    first, *others = systems
    text = table(systems, names, systems_as) + coverage(systems)
    everything = {"systems": {title: described(each) for title, each in systems.items()}}
    if others:
        text += f"\n\n{differences(systems, names, systems_as)}"
        everything["differences_to"] = first
        everything["differences"] = {}
        for other in others:
            everything["differences"][other] = systems[other].differences(systems[first])
    write_text(folder / "table.md", text + "\n")
    write_text(folder / "table.json", to_json(everything))
    write_text(folder / "images.csv", _images(systems))
    return text


def coverage(systems):
    """A paragraph per system that captioned only a part of the split, for below a table.

    Args:
        systems: {title: `Evaluation`}.
    """
    text = ""
    for title, evaluation in systems.items():
        images = len(evaluation.captions)
        total = evaluation.split_images
        if total is not None and images < total:
            text += (
                f"\n\n{title} covers {images} of the split's {total} images; "
                "its scores are of these alone."
            )
    return text


def described(evaluation):
    """The results in an `Evaluation`, for JSON."""
    results = {
        "images": len(evaluation.captions),
        "scores": evaluation.values,
        "intervals": evaluation.intervals,
        "bootstrap": {"level": resampling.LEVEL, "samples": resampling.SAMPLES},
    }
    if evaluation.split_images is not None:
        results["split_images"] = evaluation.split_images
    return results


def to_json(value):
    """The text of a JSON file."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _images(systems):
    """CSV with one line per system and image: its caption, number of references, and scores.

    A score is empty where there is nothing to judge.
    """
    names = [name for name in ROWS if any(name in each.scores for each in systems.values())]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", "image", "caption", "references", *names])
    for title, evaluation in systems.items():
        scores = evaluation.each()
        for image, caption in evaluation.captions.items():
            line = [title, image, caption, len(evaluation.references[image])]
            for name in names:
                number = scores[name][image] if name in scores else math.nan
                line.append("" if math.isnan(number) else f"{number:.6g}")
            writer.writerow(line)
    return text.getvalue()
