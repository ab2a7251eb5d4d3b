"""python -m pipeline.infra_validator --run runs/scenes_soft --push serving/models/scenes_soft

InfraValidator: exports a trained run beside the model's folder, has a server of its own caption pictures over gRPC, and
blesses the export where captions and scores are those of `keras_sat.caption`. The server ends with the command.
"""

import json
import shutil
import tempfile
from pathlib import Path

from keras_sat.utils.errors import command
from pipeline import blessing
from pipeline.evaluator import split_of

TOLERANCE = {"rtol": 1e-5, "atol": 1e-4}  # of scores, which are log-probabilities


def validate(run):
    """Exports the next version into the staging folder, tries it and gives the verdict, in blessing/infra_validator.json.

    Args:
        run: a `keras_sat.runs.run.Run`, whose experiment says where to push and with how many pictures to try.
    Raises:
        UserError: NOT_BLESSED; the data set holds no pictures.
    """
    from keras_sat.data.reading import read_records
    from keras_sat.export import Batching, export, next_version

    data = run.data()
    data.check_inputs(["pixels"])
    records = list(read_records(data, split_of(data), run.experiment.push.pictures))
    staging = blessing.staging_folder(run)
    shutil.rmtree(staging, ignore_errors=True)
    batching = Batching(max_batch_size=run.experiment.push.max_batch_size)
    version = export(run, staging, batching, version=next_version(blessing.model_folder(run)))
    blessing.give(
        run, "infra_validator", differences(run, staging, records), version=int(version.name)
    )


def outputs(run):
    """The files of the verdict and of the version that it is about, pushed or still staged."""
    path = blessing.path_of(run, "infra_validator")
    if not path.exists():
        return []
    version = str(json.loads(path.read_text(encoding="utf-8"))["version"])
    pushed, staged = blessing.model_folder(run) / version, blessing.staging_folder(run) / version
    return [
        path,
        *sorted(
            each for each in (pushed if pushed.exists() else staged).rglob("*") if each.is_file()
        ),
    ]


def differences(run, folder, records):
    """What the served model says otherwise than the run does, a line a picture."""
    import grpc
    import numpy as np

    from keras_sat.caption import caption_files
    from serving.client.client import CaptionClient
    from serving.process import ServerProcess

    with tempfile.TemporaryDirectory() as temporary:
        paths = [Path(temporary, str(number)) for number in range(len(records))]
        for path, record in zip(paths, records):
            path.write_bytes(record.encoded)
        captioned, errors = caption_files(run, paths)
    if errors:
        raise errors[0]
    seconds = 60 * run.experiment.push.max_minutes
    try:
        with (
            ServerProcess(folder, seconds) as server,
            CaptionClient(server.address, deadline=seconds) as client,
        ):
            answers = client.caption([record.encoded for record in records], _boxes(run, records))
    except (ValueError, grpc.RpcError) as error:
        return [
            f"{error.code().name}: {error.details()}"
            if isinstance(error, grpc.RpcError)
            else str(error)
        ]
    return [
        f"{record.source_id}: served {answer.caption!r} ({answer.score:.4f}, {answer.status}), "
        f"in process {expected.caption!r} ({expected.score:.4f})"
        for record, answer, (*_, expected, _) in zip(records, answers, captioned)
        if answer.caption != expected.caption
        or not np.isclose(answer.score, expected.score, **TOLERANCE)
    ]


def _boxes(run, records):
    """Object proposals of the whole pictures, where the captioner takes them: they are not sought in the graph."""
    if "boxes" not in run.facts["inputs"]:
        return None
    from keras_sat.encoder.inputs import picture_inputs
    from keras_sat.pictures.boxes import out_of_crop

    encoder, regions = run.facts["encoder"], run.facts["proposals"]
    found = [
        picture_inputs(record.encoded, ("boxes",), encoder, regions)["boxes"] for record in records
    ]
    if encoder["resize"] == "squash":
        return found
    return [
        out_of_crop(boxes, record.height, record.width) for boxes, record in zip(found, records)
    ]


@command
def main(arguments=None):
    run = blessing.run_of(blessing.parser("infra_validator", __doc__).parse_args(arguments))
    validate(run)
    print(f"{blessing.BLESSED}: {blessing.path_of(run, 'infra_validator')}")


if __name__ == "__main__":
    main()
