"""Preparing a data set: settings, claim and work folder around the chain of components."""

import dataclasses
import json
import shutil
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.data.prepared import COMPLETED
from keras_sat.data.record import FORMAT_VERSION
from keras_sat.encoder.cnn import files_fingerprints
from keras_sat.pictures import proposals
from keras_sat.pictures.boxes import fingerprint
from keras_sat.utils.claim import check_unread, claimed
from keras_sat.utils.errors import UserError, memory_advice
from keras_sat.utils.files import write_text
from keras_sat.utils.json_files import read_json
from pipeline.preparation import beam_runner, chain, remote
from pipeline.sources.registry import open_source, with_reader

_OBJECT = {"type": "object"}


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
            it or reads it, the source is unusable, or Beam's runner is not there.
    """
    output = Path(output)
    options = beam_runner.beam_options(list(beam_flags))
    config = with_reader(config)
    config_there = remote.with_absolute_paths(config, options)
    source = open_source(config_there)
    wanted = _wanted(source, config)  # with the paths as they were given
    if not output.exists():
        with claimed(output, "preparation"):
            check_unread(output)  # it may have been removed while it is read
            if not output.exists():  # else it was just finished
                proposals.check(config.proposals)
                remote.runner_of(options)  # refused before the CNN is made
                work = _work_folder(output, wanted).absolute()
                with memory_advice(_memory_advice(config)):
                    chain.build_data_set(source, config_there, wanted, work, output, options)
                return
    _check_same(output, wanted)
    # What is left of a job that was killed when all was done.
    shutil.rmtree(_partial(output), ignore_errors=True)


def _wanted(source, config):
    """What the manifest must say of source and settings for a data set to be the one wanted."""
    wanted = {
        "format": FORMAT_VERSION,
        "source": source.fingerprint(),
        "settings": _settings(config),
    }
    if config.proposals.file:
        wanted["boxes"] = fingerprint(config.proposals.file)
    wanted |= files_fingerprints(config.encoder)
    return json.loads(json.dumps(wanted))  # as it is read back from a manifest


def _settings(config):
    """The settings that decide what the data set holds."""
    settings = dataclasses.asdict(config)
    return {key: value for key, value in settings.items() if key not in config.CHECKS}


def _memory_advice(config):
    return (
        "run it with fewer workers, --direct_num_workers=1, or lower --set chunk_images=N "
        f"(now {config.chunk_images}), with which it starts anew"
    )


def _partial(output):
    return output.parent / f".{output.name}.partial"


def _work_folder(output, wanted):
    """The work folder, with what an earlier run with the same settings left there."""
    work = _partial(output)
    note = work / "wanted.json"
    same = note.exists() and read_json(note, _OBJECT, f"remove {work}") == wanted
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
    manifest = read_json(
        output / "manifest.json", _OBJECT, "choose another --output or remove the data set"
    )
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
