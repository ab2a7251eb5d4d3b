"""Results that are kept in the repository.

There is one JSON file per system, one file with its captions, and one table of all systems of a
split.
"""

import dataclasses
import json
import shutil

from keras_sat.config import Decoding
from keras_sat.evaluation import report
from keras_sat.runs.loading import describe
from keras_sat.utils.errors import UserError
from keras_sat.utils.files import atomic, write_text
from keras_sat.utils.version import packages

COLUMNS = ("bleu1", "bleu2", "bleu3", "bleu4", "meteor", "rouge", "cider", "spice")


def write(folder, split, run, evaluation):
    """Writes NAME_SPLIT.json and NAME_SPLIT_captions.json, where NAME is that of the run's folder.

    Args:
        folder: where to write.
        split: the split's name.
        run: the evaluated `Run` or `RunEnsemble`.
        evaluation: its `Evaluation`.
    """
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
        "runs": _describe_members(run),
        "curve": run.curve(),
        "packages": packages(),
    }
    write_text(path, report.to_json(record))


def recorded(folder, split, run):
    """Whether a `Run` or `RunEnsemble` is recorded with its present weights, data and settings."""
    path = _path(folder, split, run)
    if not path.exists():
        return False
    record = _read(path)
    # A record that is older than a setting was made with the setting's default.
    decoding = dataclasses.asdict(Decoding()) | record["decoding"]
    return (
        record["made_of"] == _made_of(_describe_members(run))
        # Training may have been resumed without finding a better checkpoint.
        and record["curve"] == run.curve()
        and decoding == dataclasses.asdict(run.experiment.decoding)
        and (folder / record["captions"]).exists()
    )


def read(folder, split):
    """Reads the records of a split.

    Returns:
        A list of dictionaries, in the order of the systems' names, ensembles last. Beside what
        `write` has written they hold "title" and "made_of".
    Raises:
        UserError: a record cannot be read.
    """
    records = map(_read, folder.glob(f"*_{split}.json"))
    return sorted(records, key=lambda record: (len(record["runs"]), record["system"]))


def write_table(folder, split, records):
    """Writes table_SPLIT.md, one row per record; returns the Markdown text."""
    systems = {record["title"]: record for record in records}
    text = report.recorded_table(systems, COLUMNS, systems_as="rows")
    write_text(folder / f"table_{split}.md", text + "\n")
    return text


def _path(folder, split, run):
    return folder / f"{run.folder.name}_{split}.json"


def _describe_members(run):
    return [describe(member) for member in run.members]


def _made_of(runs):
    """The checkpoint and the data set of each run: a system is the same if these are."""
    return [(run["checkpoint"], run["data"]["fingerprint"]) for run in runs]


def _read(path):
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["title"] = _title(record)
        record["made_of"] = _made_of(record["runs"])
        for name in ("decoding", "scores", "intervals"):
            if not isinstance(record[name], dict):
                raise TypeError(f"{name} is no object")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: cannot be read ({error!r}); move it away, or record it again"
        ) from error
    return record


def _title(record):
    """What the table calls a system: its members, or its run with its seed, epochs and hours."""
    runs = record["runs"]
    curve = record["curve"]
    if len(runs) > 1:
        return "ensemble of " + ", ".join(run["run"] for run in runs)
    [run] = runs
    epochs = f"{len(curve)} epochs"
    start = (run["init_from"] or "").rpartition("/")[-1]
    if start:
        epochs += f" after {start}"
    teachers = run["train"].get("teachers", ())  # the record may be older than the setting
    if teachers:
        epochs += f", taught by {len(teachers)}"
    return f"{run['run']}, seed {run['seed']}, {epochs}, {curve[-1]['seconds'] / 3600:.1f} h"
