"""Holds a data set, a run or an exported model against the hashes that are recorded for it."""

from pathlib import Path

import tensorflow as tf

from keras_sat.data.prepared import open_prepared
from keras_sat.data.verification import data_faults
from keras_sat.encoder.cnn import load_encoder, weights_fingerprint
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
            return kind, list(faults(folder, trust_encoder))
    numbers = versions(folder)
    if numbers:
        faults = []
        for number in numbers:
            faults += _export_faults(folder / str(number), trust_encoder)
        return f"model of {len(numbers)} versions", faults
    raise UserError(
        f"{folder}: holds no prepared data set, run or exported model; name the folder of one"
    )


def _data_faults(folder, trust_encoder):
    try:
        data = open_prepared(folder)
    except UserError as error:
        yield str(error)
        return
    yield from data_faults(data)
    yield from _of(_check_encoder, data, trust_encoder)


def _check_encoder(data, trust_encoder):
    path = data.folder / "encoder.keras"
    found = weights_fingerprint(load_encoder(path, trust_encoder))
    recorded = data.manifest["encoder"]["weights"]
    if found != recorded:
        raise UserError(
            f"{path}: its weights have the fingerprint {found}, but manifest.json records "
            f"{recorded}"
        )


def _run_faults(folder, trust_encoder):
    try:
        run = open_run(folder)
    except UserError as error:
        yield str(error)
        return
    if trust_encoder:
        run = run.trusting()
    yield from _of(load_vocabulary, run)
    yield from _of(run_encoder, run)
    for which in ("last", "best"):
        yield from _of(_check_checkpoint, run, which)
    yield from _of(type(run).curve, run)


def _check_checkpoint(run, which):
    path = run.checkpoint(which)
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)  # TensorFlow holds it against its checksum
    except (tf.errors.OpError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"{path}: the checkpoint is damaged ({reason})") from error
    load_model(run, which)


def _export_faults(folder, trust_encoder):
    try:
        sums = read_sums(folder)
    except UserError as error:
        yield str(error)
        return
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
