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


def table(columns):
    """A Markdown table of scores in percent.

    Args:
        columns: {column title: {score name: fraction}}.
    """
    labels = LABELS | GROUNDING
    names = [name for name in labels if any(name in scores for scores in columns.values())]
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for name in names:
        cells = [f"{100 * scores[name]:.1f}" if name in scores else "" for scores in columns.values()]
        lines.append(f"| {labels[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(folder, split, scores, captioned):
    """Writes SPLIT.json (scores) and SPLIT_captions.json (COCO's results format) to the run's evaluation folder."""
    results = [{"image_id": each.source_id, "caption": each.caption} for each in captioned]
    for name, value in ((f"{split}_captions.json", results), (f"{split}.json", scores)):
        write_text(folder / name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
