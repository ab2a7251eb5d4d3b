"""python -m pipeline.prepare --dataset scenes --output data/scenes [any Beam option]

From a corpus to a prepared data set: {train,val,test}-*.tfrecord, vocabulary.txt, encoder.keras, manifest.json,
statistics.json, failures-*.jsonl and, last, COMPLETED. A job that was interrupted goes on where it stopped.
"""

import argparse
import contextlib
import dataclasses
import fcntl
import json
import logging
import shutil
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.data.prepared import COMPLETED
from keras_sat.pictures import proposals
from keras_sat.utils.errors import UserError, command
from keras_sat.utils.files import write_text


def prepare(config, output, beam_flags=()):
    """Prepares a data set.

    Args:
        config: a `keras_sat.config.Prepare`.
        output: the folder to make. Nothing appears under that name before all is done; work is kept in
            `.NAME.partial` beside it, so that the same call after an interruption goes on there.
        beam_flags: Beam's command-line flags.
    Raises:
        UserError: the output exists but was made with other settings, another process is making it, or the source is
            unusable.
    """
    logging.getLogger().setLevel(
        logging.CRITICAL
    )  # Beam warns of what is not installed, and logs errors that it raises
    from keras_sat.data.examples import FORMAT_VERSION
    from pipeline.preparation import beam_runner, chain
    from pipeline.sources.registry import open_source

    output = Path(output)
    options = beam_runner.beam_options(list(beam_flags))
    source = open_source(config)
    wanted = {
        "format": FORMAT_VERSION,
        "source": source.fingerprint(),
        "settings": _settings(config),
    }
    if config.proposals.file:
        wanted["boxes"] = proposals.fingerprint(config.proposals.file)
    if Path(config.encoder.weights).is_file():
        wanted["weights"] = proposals.fingerprint(config.encoder.weights)
    wanted = json.loads(json.dumps(wanted))  # as it will be read back
    with _locked(output):
        if output.exists():
            _check_same(output, wanted)
            shutil.rmtree(
                _partial(output), ignore_errors=True
            )  # of a job that was killed once all was done
        else:
            proposals.check(config.proposals)
            chain.run(source, config, wanted, _work_folder(output, wanted), output, options)


def _settings(config):
    return {
        key: value for key, value in dataclasses.asdict(config).items() if key not in config.CHECKS
    }


@contextlib.contextmanager
def _locked(output):
    """Keeps a second process from making the same data set; the lock goes with the process, however it ends."""
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
    """Where the work is kept, with what an earlier run from the same settings left there."""
    work = _partial(output)
    note = work / "wanted.json"
    if work.exists() and not (note.exists() and json.loads(note.read_text()) == wanted):
        print(f"{work}: is from other settings; starting anew")
        shutil.rmtree(work)
    work.mkdir(exist_ok=True)
    if not note.exists():
        write_text(note, json.dumps(wanted))
    return work


def _check_same(output, wanted):
    if not (output / COMPLETED).exists():
        raise UserError(
            f"{output}: exists but is no finished data set; choose another --output or remove it"
        )
    manifest = json.loads((output / "manifest.json").read_text())
    if "settings" in manifest:  # those that it does not know yet are at their defaults
        manifest["settings"] = _settings(
            configuration.from_values({"prepare": manifest["settings"]}).prepare
        )
    for key, value in wanted.items():
        if manifest.get(key) != value:
            raise UserError(
                f"{output}: was prepared with other settings ({key}); choose another --output or remove it"
            )
    print(f"{output}: already prepared")


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.prepare",
        description=__doc__.split("\n\n")[1],
        epilog="Any other option goes to Beam.",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="the folder to make, such as data/scenes"
    )
    parser.add_argument(
        "--config", metavar="YAML", help="an experiment whose `prepare` section is the start"
    )
    flags = {
        "dataset": "the corpus' format: scenes, flickr8k, flickr30k, coco, karpathy or folder",
        "source": "the corpus' folder; for scenes, how many, such as train=3000,val=300,test=300",
        "encoder.name": "the CNN: scenes_cnn or any of keras.applications",
        "encoder.layer": "the layer whose output is stored",
        "encoder.weights": "imagenet, none or a file",
        "encoder.image_size": "height and width of the CNN's input in pixels",
        "encoder.quantisation": "uint8 or float16",
        "seed": "of all randomness",
    }
    for key, text in flags.items():
        flag = "--" + key.removesuffix(".name").removeprefix("encoder.").replace("_", "-")
        number = key in ("encoder.image_size", "seed")
        parser.add_argument(
            flag, dest=key, metavar="N" if number else "X", type=int if number else str, help=text
        )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other key of `prepare`"
    )
    args, beam_flags = parser.parse_known_args(arguments)
    given = [
        (f"prepare.{key}", value) for key in flags if (value := getattr(args, key)) is not None
    ]
    overrides = given + [f"prepare.{text}" for text in args.set]
    prepare(configuration.load(args.config, overrides).prepare, args.output, beam_flags)


if __name__ == "__main__":
    main()
