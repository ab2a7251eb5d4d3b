"""InfraValidator: exports a trained run, serves the export and compares its answers."""

import shutil
import tempfile
from pathlib import Path

import grpc
import numpy as np

from keras_sat.data.reading import read_records
from keras_sat.encoder.inputs import picture_inputs
from keras_sat.exporting.saved_model import export
from keras_sat.exporting.versions import Batching, next_version
from keras_sat.pictures.boxes import out_of_crop
from keras_sat.runs.captioning import caption_files
from pipeline.blessing import verdicts
from pipeline.blessing.evaluator import split_of
from serving.client.client import CaptionClient
from serving.process import ServerProcess

TOLERANCE = {"rtol": 1e-5, "atol": 1e-4}  # of scores, which are log-probabilities


def validate(run):
    """Exports the next version into the staging folder, tries it and gives the verdict.

    The verdict is in blessing/infra_validator.json.

    Args:
        run: a `keras_sat.runs.run.Run`, whose experiment says where to push and with how many
            pictures to try the version.

    Returns:
        The verdict's file.

    Raises:
        UserError: NOT_BLESSED, or the data set holds no pictures.
    """
    push = run.experiment.push
    data = run.data()
    data.check_inputs(["pixels"])
    records = list(read_records(data, split_of(data), push.pictures))
    staging = verdicts.staging_folder(run)
    shutil.rmtree(staging, ignore_errors=True)
    batching = Batching(max_batch_size=push.max_batch_size)
    version = export(run, staging, batching, version=next_version(verdicts.model_folder(run)))
    reasons = differences(run, staging, records)
    return verdicts.give(run, "infra_validator", reasons, version=int(version.name))


def outputs(run):
    """The files of the verdict and of the version that it is about, pushed or still staged."""
    path = verdicts.path_of(run, "infra_validator")
    if not path.exists():
        return []
    version = str(verdicts.read(run, "infra_validator")["version"])
    folder = verdicts.model_folder(run) / version
    if not folder.exists():
        folder = verdicts.staging_folder(run) / version
    return [path, *sorted(each for each in folder.rglob("*") if each.is_file())]


def differences(run, folder, records):
    """Where a served model answers otherwise than the run does.

    Args:
        run: the `keras_sat.runs.run.Run`.
        folder: the model's folder.
        records: `Record`s with the pictures to try.

    Returns:
        One line per picture, or one that says why the server does not answer.

    Raises:
        UserError: the run cannot caption a picture.
    """
    expected = _in_process(run, records)
    seconds = 60 * run.experiment.push.max_minutes
    try:
        with (
            ServerProcess(folder, seconds) as server,
            CaptionClient(server.address, deadline=seconds) as client,
        ):
            answers = client.caption([record.encoded for record in records], _boxes(run, records))
    except grpc.RpcError as error:
        return [f"{error.code().name}: {error.details()}"]
    except ValueError as error:
        return [str(error)]
    lines = []
    for record, answer, own in zip(records, answers, expected):
        same_score = np.isclose(answer.score, own.score, **TOLERANCE)
        if answer.caption != own.caption or not same_score:
            lines.append(
                f"{record.source_id}: served {answer.caption!r} ({answer.score:.4f}, "
                f"{answer.status}), in process {own.caption!r} ({own.score:.4f})"
            )
    return lines


def _in_process(run, records):
    """The `Captioned` of each record's picture, as `keras-sat caption` captions files."""
    with tempfile.TemporaryDirectory() as temporary:
        paths = []
        for number, record in enumerate(records):
            path = Path(temporary, str(number))
            path.write_bytes(record.encoded)
            paths.append(path)
        answers, errors = caption_files(run, paths)
    if errors:
        raise errors[0]
    return [captioned for _, _, captioned, _ in answers]


def _boxes(run, records):
    """Object proposals of the whole pictures, or None if the captioner takes none.

    The exported graph does not compute them.
    """
    if "boxes" not in run.facts.inputs:
        return None
    encoder = run.facts.encoder
    found = []
    for record in records:
        inputs = picture_inputs(record.encoded, ("boxes",), encoder, run.facts.proposals)
        boxes = inputs["boxes"]
        if encoder["resize"] != "squash":
            boxes = out_of_crop(boxes, record.height, record.width)
        found.append(boxes)
    return found
