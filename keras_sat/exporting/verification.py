"""Holds a data set, a run or an exported model against the hashes that are recorded for it."""

from pathlib import Path

from keras_sat.data.prepared import open_prepared
from keras_sat.data.verification import data_faults
from keras_sat.encoder.cnn import recorded_encoder
from keras_sat.exporting.versions import versions
from keras_sat.runs.loading import load_model, load_vocabulary, run_encoder
from keras_sat.runs.run import open_run
from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import SUMS, damage, read_sums


def verify(folder, trust_encoder=False):
    """What is wrong with a folder.

    Args:
        folder: of a prepared data set, a run, a model or one version of it.
        trust_encoder: whether its encoder may run code of its own.

    Returns:
        (what the folder holds, [one line per fault]).

    Raises:
        UserError: it is none of these.
    """
    folder = Path(folder)
    for files, kind, faults in _KINDS:
        if any((folder / file).exists() for file in files):
            return kind, _lines(faults, folder, trust_encoder)
    numbers = versions(folder)
    if numbers:
        faults = []
        for number in numbers:
            faults += _lines(_export_faults, folder / str(number), trust_encoder)
        return f"model of {len(numbers)} versions", faults
    raise UserError(
        f"{folder}: holds no prepared data set, run or exported model; name the folder of one"
    )


def _lines(find, folder, trust_encoder):
    """The faults that a function finds, and the error that ends its search, as lines."""
    found = []
    try:
        for fault in find(folder, trust_encoder):
            found.append(fault)
    except UserError as error:
        found.append(" ".join(str(error).split()))
    return found


def _data_faults(folder, trust_encoder):
    data = open_prepared(folder)
    yield from data_faults(data)
    weights = data.manifest["encoder"]["weights"]
    yield from _of(recorded_encoder, data.folder / "encoder.keras", weights, trust_encoder)


def _run_faults(folder, trust_encoder):
    run = open_run(folder)
    if trust_encoder:
        run = run.trusting()
    yield from _of(load_vocabulary, run)
    yield from _of(run_encoder, run)
    for which in ("last", "best"):
        yield from _of(load_model, run, which)
    yield from _of(type(run).curve, run)


def _export_faults(folder, trust_encoder):
    sums = read_sums(folder)
    if not sums:
        yield f"{folder}: has no {SUMS}, as an earlier version wrote it; export it again"
    for name, expected in sums.items():
        fault = damage(folder, name, expected)
        if fault:
            yield fault
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if sums and path.is_file() and name not in (*sums, SUMS):
            yield f"{path}: was not exported; delete it"


def _of(check, *arguments):
    """Yields the one line of a check that fails."""
    try:
        check(*arguments)
    except UserError as error:
        yield " ".join(str(error).split())


# (the files by which it is known, any of which may be lost; what it is; its faults)
_KINDS = (
    (("manifest.json", "COMPLETED"), "data set", _data_faults),
    (("config.yaml", "run.json"), "run", _run_faults),
    (("saved_model.pb", "model_card.json"), "exported version", _export_faults),
)
