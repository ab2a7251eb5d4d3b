"""Results of an evaluation as people and other programs read them."""

import json

from keras_sat.evaluation.scorers import LABELS
from keras_sat.files import write_text

GROUNDING = {
    "correctness_truth": "Attention in the noun's box, true captions",
    "correctness_generated": "… generated captions",
    "correctness_uniform": "… uniform attention",
    "pointing": "Nouns with their strongest region on the object",
    "misbound": "Attributes given to the wrong object (lower is better)",
}


OTHERS = {  # not in percent
    "attention_entropy": "Entropy of the attention, nats",
    "attention_change": "Change of the attention from word to word (0–1)",
    "epoch_seconds": "Seconds an epoch",
}


def table(systems, systems_as="columns"):
    """A Markdown table of scores in percent.

    Args:
        systems: {title: {score name: fraction}}. systems_as: `columns` or `rows`.
    """
    labels = LABELS | GROUNDING | OTHERS
    names = [name for name in labels if any(name in scores for scores in systems.values())]
    lines = [["", *systems]]
    lines += [[labels[name], *(_cell(name, scores) for scores in systems.values())] for name in names]
    if systems_as == "rows":
        lines = list(zip(*lines))
    texts = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([texts[0], "|---" * len(lines[0]) + "|", *texts[1:]])


def _cell(name, scores):
    if name not in scores:
        return ""
    return f"{scores[name]:.2f}" if name in OTHERS else f"{100 * scores[name]:.1f}"


def write(folder, split, scores, captioned):
    """Writes SPLIT.json (scores) and SPLIT_captions.json (COCO's results format) to the run's evaluation folder."""
    results = [{"image_id": each.source_id, "caption": each.caption} for each in captioned]
    for name, value in ((f"{split}_captions.json", results), (f"{split}.json", scores)):
        write_text(folder / name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
