"""Results that stand in a repository: a JSON file and the captions of each system, and the table made of them."""

import dataclasses
import json
import shutil

from keras_sat.config import Decoding
from keras_sat.evaluation import report
from keras_sat.utils.errors import UserError
from keras_sat.utils.files import atomic, write_text
from keras_sat.utils.version import packages

COLUMNS = ("bleu1", "bleu2", "bleu3", "bleu4", "meteor", "rouge", "cider", "spice")


def write(folder, split, run, evaluation):
    """Writes NAME_SPLIT.json and NAME_SPLIT_captions.json of an evaluated `Run` or `RunEnsemble`, called like its folder."""
    path = _path(folder, split, run)
    captions = f"{path.stem}_captions.json"
    with atomic(folder / captions) as temporary:
        shutil.copy(run.folder / "evaluation" / f"{split}_captions.json", temporary)
    record = {
        "system": run.folder.name,
        "split": split,
        **report.described(evaluation),
        "captions": captions,
        "decoding": dataclasses.asdict(run.experiment.decoding),
        "runs": _described(run),
        "curve": run.curve(),
        "packages": packages(),
    }
    write_text(path, report.to_json(record))


def recorded(folder, split, run):
    """Whether what `write` would write of this `Run` or `RunEnsemble` is there: of these weights, data and settings."""
    path = _path(folder, split, run)
    if not path.exists():
        return False
    record, decoding = _read(path), dataclasses.asdict(run.experiment.decoding)
    return (
        record["made_of"] == _made_of(_described(run))
        and record["curve"] == run.curve()  # training may have gone on and found nothing better
        and dataclasses.asdict(Decoding()) | record["decoding"]
        == decoding  # the record may be older than a setting
        and (folder / record["captions"]).exists()
    )


def _path(folder, split, run):
    return folder / f"{run.folder.name}_{split}.json"


def _described(run):
    return [each.describe() for each in run.members]


def read(folder, split):
    """The records of a split, in the order of their names, ensembles last.

    Raises:
        UserError: one that cannot be read.
    """
    records = map(_read, folder.glob(f"*_{split}.json"))
    return sorted(records, key=lambda record: (len(record["runs"]), record["system"]))


def _made_of(runs):
    return [(run["checkpoint"], run["data"]["fingerprint"]) for run in runs]


def _read(path):
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["title"], record["made_of"] = _title(record), _made_of(record["runs"])
        record["decoding"].items(), record["scores"], record["intervals"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: cannot be read ({error!r}); move it away, or record it again"
        ) from error
    return record


def _title(record):
    runs, curve = record["runs"], record["curve"]
    if len(runs) > 1:
        return "ensemble of " + ", ".join(run["run"] for run in runs)
    [run] = runs
    before = (run["init_from"] or "").rpartition("/")[-1]
    teachers = len(run["train"].get("teachers", ()))  # the record may be older than the setting
    epochs = (
        f"{len(curve)} epochs"
        + f" after {before}" * bool(before)
        + f", taught by {teachers}" * bool(teachers)
    )
    return f"{run['run']}, seed {run['seed']}, {epochs}, {curve[-1]['seconds'] / 3600:.1f} h"


def write_table(folder, split, records):
    """Writes table_SPLIT.md of records, a row each; returns the Markdown text."""
    text = report.recorded_table(
        {record["title"]: record for record in records}, COLUMNS, systems_as="rows"
    )
    write_text(folder / f"table_{split}.md", text + "\n")
    return text
