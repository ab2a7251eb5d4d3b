"""Packing a trained run into one file."""

import json
from pathlib import Path

from keras_sat.exporting import model_card
from keras_sat.runs.packed import ENCODER, SUFFIX, write_packed
from keras_sat.utils.errors import UserError


def pack(run, output=None):
    """Packs a trained run: its configuration, vocabulary, CNN, best checkpoint, scores and card.

    Args:
        run: a `Run`.
        output: the file (default: RUN.ksat beside the run's folder).

    Returns:
        The file's path, which appears whole or not at all.

    Raises:
        UserError: no checkpoint yet, or files of the run that do not fit together; the output is a
            folder.
    """
    output = Path(output or run.folder.with_name(run.folder.name + SUFFIX))
    if output.is_dir():
        raise UserError(f"{output}: is a folder; name a file, such as {output / 'run'}{SUFFIX}")
    card = model_card.describe(run, {"name": run.folder.name})
    checkpoint = Path(run.checkpoint())
    found = [run.folder / name for name in ("config.yaml", "run.json", "vocabulary.txt", ENCODER)]
    found += [checkpoint.with_name("checkpoint"), *checkpoint.parent.glob(f"{checkpoint.name}.*")]
    found += [run.folder / "metrics.jsonl"]
    found += [run.folder / "evaluation" / f"{split}.json" for split in card["scores"]]
    files = {}
    for path in sorted(found):
        if path.exists() or path.name != "metrics.jsonl":
            files[path.relative_to(run.folder).as_posix()] = path
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    try:
        write_packed(output, run.folder.name, files, {"card.json": text})
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: is missing; is the run being trained?") from error
    return output
