"""Preparing a data set: settings, lock and work folder around the chain of components."""

import contextlib
import dataclasses
import fcntl
import json
import shutil
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.data.prepared import COMPLETED
from keras_sat.data.record import FORMAT_VERSION
from keras_sat.pictures import proposals
from keras_sat.pictures.boxes import fingerprint
from keras_sat.utils.errors import UserError
from keras_sat.utils.files import write_text
from pipeline.preparation import beam_runner, chain
from pipeline.sources.registry import open_source, with_reader


def prepare(config, output, beam_flags=()):
    """Prepares a data set.

    Nothing appears under the output's name before all is done. Work is kept in `.NAME.partial`
    beside it, so that the same call resumes after an interruption.

    Args:
        config: a `keras_sat.config.Prepare`.
        output: the folder to make.
        beam_flags: Beam's command-line flags.

    Raises:
        UserError: the output exists but was made with other settings, another process is making
            it, or the source is unusable.
    """
    output = Path(output)
    options = beam_runner.beam_options(list(beam_flags))
    config = with_reader(config)
    source = open_source(config)
    wanted = _wanted(source, config)
    with locked(output):
        if output.exists():
            _check_same(output, wanted)
            # What is left of a job that was killed when all was done.
            shutil.rmtree(_partial(output), ignore_errors=True)
        else:
            proposals.check(config.proposals)
            work = _work_folder(output, wanted)
            chain.build_data_set(source, config, wanted, work, output, options)


def _wanted(source, config):
    """What the manifest must say of source and settings for a data set to be the one wanted."""
    wanted = {
        "format": FORMAT_VERSION,
        "source": source.fingerprint(),
        "settings": _settings(config),
    }
    if config.proposals.file:
        wanted["boxes"] = fingerprint(config.proposals.file)
    if Path(config.encoder.weights).is_file():
        wanted["weights"] = fingerprint(config.encoder.weights)
    return json.loads(json.dumps(wanted))  # as it is read back from a manifest


def _settings(config):
    """The settings that decide what the data set holds."""
    settings = dataclasses.asdict(config)
    return {key: value for key, value in settings.items() if key not in config.CHECKS}


@contextlib.contextmanager
def locked(output):
    """Keeps other processes from making the same data set.

    The operating system releases the lock when the process ends, however it ends.

    Raises:
        UserError: another process holds the lock.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output.parent / f".{output.name}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"{output}: is being prepared by another process; wait for it"
            ) from error
        yield


def _partial(output):
    return output.parent / f".{output.name}.partial"


def _work_folder(output, wanted):
    """The work folder, with what an earlier run with the same settings left there."""
    work = _partial(output)
    note = work / "wanted.json"
    same = note.exists() and json.loads(note.read_text()) == wanted
    if work.exists() and not same:
        print(f"{work}: is from other settings; starting anew")
        shutil.rmtree(work)
    work.mkdir(exist_ok=True)
    if not note.exists():
        write_text(note, json.dumps(wanted))
    return work


def _check_same(output, wanted):
    """Checks that an existing output is the finished data set that is wanted.

    Raises:
        UserError: it is not.
    """
    if not (output / COMPLETED).exists():
        raise UserError(
            f"{output}: exists but is no finished data set; choose another --output or remove it"
        )
    manifest = json.loads((output / "manifest.json").read_text())
    if "settings" in manifest:
        # Settings that are newer than the data set have their defaults.
        values = {"prepare": manifest["settings"]}
        manifest["settings"] = _settings(configuration.from_values(values).prepare)
    for key, value in wanted.items():
        if manifest.get(key) != value:
            raise UserError(
                f"{output}: was prepared with other settings ({key}); "
                "choose another --output or remove it"
            )
    print(f"{output}: already prepared")
