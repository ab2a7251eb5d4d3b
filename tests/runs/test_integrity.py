"""Damage to a run's files, and encoders that are not the run's own."""

import json
import shutil
from pathlib import Path

import keras
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_sat.config import Encoder
from keras_sat.data.prepared import open_prepared
from keras_sat.encoder.cnn import build_encoder, weights_fingerprint
from keras_sat.exporting.verification import verify
from keras_sat.runs.loading import build_model, run_encoder
from keras_sat.runs.run import create_run, open_run
from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import SUMS
from tests.support.json_changes import changed_places, junk
from tests.support.manifests import rewrite_manifest


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run.folder, tmp_path / "copy")


@pytest.fixture(scope="module")
def other_encoder(tmp_path_factory):
    """An encoder of the same layers with other weights."""
    path = tmp_path_factory.mktemp("other") / "encoder.keras"
    build_encoder(Encoder(weights="none"), seed=9).save(path)
    return path


def replace(path, source):
    path.unlink()  # it is a link into the data set
    shutil.copy(source, path)


def test_a_sound_run_has_no_faults(run):
    assert verify(run.folder) == ("run", [])


@pytest.mark.parametrize("name", ["encoder.keras", "vocabulary.txt", "run.json", "metrics.jsonl"])
def test_every_changed_file_is_found_by_verify(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).unlink()
    (copy / name).write_bytes(content[:-2] + b"~~")
    faults = verify(copy)[1]
    assert faults and name in faults[0]


@pytest.mark.parametrize("which", ["last", "best"])
def test_a_flipped_byte_of_a_checkpoint_is_found_by_verify(copy, which):
    path = Path(f"{open_run(copy).checkpoint(which)}.data-00000-of-00001")
    whole = path.read_bytes()
    place = len(whole) // 2
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert [fault for fault in verify(copy)[1] if which in fault and "damaged" in fault]


def test_an_encoder_with_other_weights_is_refused(copy, other_encoder):
    replace(copy / "encoder.keras", other_encoder)
    for load in (run_encoder, lambda run: run_encoder(run.trusting())):
        with pytest.raises(UserError, match=r"encoder\.keras: has changed since it was written"):
            load(open_run(copy))
    (copy / SUMS).unlink()  # as an earlier version wrote it
    with pytest.raises(UserError, match=r"encoder\.keras: its weights have the fingerprint"):
        run_encoder(open_run(copy))


def test_a_run_does_not_start_from_an_encoder_that_has_changed(
    data_folder, experiment, other_encoder, tmp_path
):
    data = open_prepared(shutil.copytree(data_folder, tmp_path / "data"))
    replace(data.folder / "encoder.keras", other_encoder)
    with pytest.raises(UserError, match=r"encoder\.keras: has changed since it was written"):
        create_run(tmp_path / "run", experiment, data)
    assert not (tmp_path / "run").exists()


def test_trust_is_recorded_and_is_no_permission(data, experiment, tmp_path):
    """A run whose encoder holds a Lambda: each use has to be allowed again."""
    folder = shutil.copytree(data.folder, tmp_path / "data")
    pixels = keras.Input((8, 8, 3))
    encoder = keras.Model(pixels, keras.layers.Lambda(lambda x: x)(pixels))
    (folder / "encoder.keras").unlink()
    encoder.save(folder / "encoder.keras")
    described = data.manifest["encoder"] | {"weights": weights_fingerprint(encoder)}
    rewrite_manifest(folder, encoder=described)
    foreign = open_prepared(folder)
    with pytest.raises(UserError, match="--trust-encoder"):
        create_run(tmp_path / "run", experiment, foreign)
    assert not (tmp_path / "run").exists()
    create_run(tmp_path / "run", experiment, foreign, trust_encoder=True)
    opened = open_run(tmp_path / "run")
    assert opened.facts.trusted_encoder
    with pytest.raises(UserError, match="--trust-encoder"):
        run_encoder(opened)
    run_encoder(opened.trusting())
    build_model(opened)  # it needs no encoder, so no trust
    with pytest.raises(UserError, match="--trust-encoder"):
        create_run(tmp_path / "run", experiment, foreign)


def test_the_runs_of_sound_encoders_record_no_trust(run):
    assert not open_run(run.folder).facts.trusted_encoder


@pytest.fixture(scope="module")
def described(run, tmp_path_factory):
    """A copy of the files that describe the run, without hashes."""
    folder = tmp_path_factory.mktemp("described")
    for name in ("run.json", "config.yaml", "vocabulary.txt"):
        shutil.copy(run.folder / name, folder)
    return folder


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_whatever_stands_in_run_json_is_refused_in_one_line_or_usable(described, drawn):
    path = described / "run.json"
    before = path.read_text()
    try:
        path.write_text(json.dumps(drawn.draw(changed_places(json.loads(before)) | junk())))
        facts = open_run(described).facts
        assert facts.vocabulary_size >= 4 and facts.encoder["image_size"] >= 1
        assert all(size >= 1 for shape in facts.inputs.values() for size in shape)
    except UserError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)
    finally:
        path.write_text(before)
