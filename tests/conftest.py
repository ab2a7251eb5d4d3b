"""Shared fixtures: small data sets, prepared once by the real pipeline, and a small trained run."""

import dataclasses
import itertools
import os
import platform
import re
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from keras_sat import config
from keras_sat.utils.hashing import sha256_file
from tests.support.manifests import rewrite_manifest
from tests.support.settings import SMALL_MODEL, small_prepare

MACHINE_FLAGS = ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def processor():
    """The processor's name, from the first source that has it."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    named = re.search(r"^model name\s*: (.+)", text, re.MULTILINE)
    if named:
        return named.group(1)
    return platform.processor() or platform.machine()


def pytest_report_header():
    """Returns everything that affects how sums are rounded, in one line."""
    flags = ", ".join(f"{name}={os.environ.get(name, 'default')}" for name in MACHINE_FLAGS)
    tensorflow = metadata.version("tensorflow")
    return f"{processor()}, {os.cpu_count()} cores; TensorFlow {tensorflow}; {flags}"


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session):
    """Shows the header's line also with -q, which hides it. (xdist's processes report nothing.)"""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not reporter.showheader:
        reporter.write_line(pytest_report_header())


LONGEST = ("test_workers.py", "test_trainer.py", "test_soak.py")
# {how a test's name starts, from its folder on: its markers}. `make test-fast` leaves these out.
MARKERS = {
    "api": ["slow"],
    "cli": ["slow", "process"],
    "decoding/test_search.py::test_consensus_is_the_agreement": ["slow"],
    "decoding/test_search.py::test_samples_follow_the_distribution": ["slow"],
    "encoder/test_cnn.py::test_the_same_cnn_for_larger_pictures": ["slow"],
    "encoder/test_scenes_cnn.py": ["slow", "process"],
    "evaluation/test_java.py": ["java"],
    "evaluation/test_meteor.py": ["java"],
    "evaluation/test_penn_treebank.py": ["java"],
    "evaluation/test_scorers.py": ["java"],
    "exporting": ["slow", "process"],
    "layers/test_interaction.py::test_no_tensor_of_steps": ["slow"],
    "models/test_captioner.py": ["slow"],
    "models/test_finetuning.py": ["slow"],
    "models/test_fit.py": ["slow", "process"],
    "models/test_hard.py": ["slow"],
    "models/test_saving.py": ["slow", "process"],
    "pipeline": ["slow"],
    "pipeline/test_beam_runner.py": ["process"],
    "serving": ["process"],
    "test_notebooks.py::test_a_notebook_runs": ["slow", "process"],
    "test_readme.py::test_the_commands_run": ["slow", "java"],
    "test_soak.py": ["slow", "process"],
    "training": ["slow"],
    "training/test_workers.py": ["process"],
    "utils/test_claim.py": ["process"],
}
# {fixture: the marker of the tests that use it}.
FIXTURE_MARKERS = {"data_folder": "slow", "boxes_data": "slow", "mirrored_data": "slow"}


def pytest_collection_modifyitems(items):
    """Marks tests, and puts the longest files first.

    Started last, one of these would keep a process busy while the other has nothing left.
    """
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        for start, markers in MARKERS.items():
            if name.startswith(start):
                for marker in markers:
                    item.add_marker(marker)
        for fixture, marker in FIXTURE_MARKERS.items():
            if fixture in item.fixturenames:
                item.add_marker(marker)
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    from pipeline.preparation.prepare import prepare

    folder = tmp_path_factory.mktemp("data") / "scenes"
    prepare(small_prepare(), folder)
    return folder


@pytest.fixture(scope="session")
def data(data_folder):
    from keras_sat.data.prepared import open_prepared

    return open_prepared(data_folder)


@pytest.fixture(scope="session")
def files_data(data, tmp_path_factory):
    """The same data set with three training files, of 24, 10 and 6 images."""
    import tensorflow as tf

    from keras_sat.data.prepared import open_prepared

    folder = shutil.copytree(data.folder, tmp_path_factory.mktemp("data") / "files")
    records = list(tf.data.TFRecordDataset(data.shards("train")).as_numpy_iterator())
    shards = []
    for first, last in itertools.pairwise((0, 24, 34, 40)):
        path = folder / f"train-{len(shards)}.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records[first:last]:
                writer.write(record)
        shards.append(
            {
                "name": path.name,
                "bytes": path.stat().st_size,
                "images": last - first,
                "sha256": sha256_file(path),
            }
        )
    rewrite_manifest(folder, splits=data.manifest["splits"] | {"train": shards})
    return open_prepared(folder)


@pytest.fixture(scope="session")
def boxes_data(tmp_path_factory):
    """A smaller data set with 60 boxes per image and feature maps of pictures of 192 pixels."""
    from keras_sat.data.prepared import open_prepared
    from pipeline.preparation.prepare import prepare

    folder = tmp_path_factory.mktemp("data") / "boxes"
    proposals = {"method": "edgeboxes", "most": 60, "image_size": 192}
    prepare(small_prepare(source="train=12,val=4", proposals=proposals), folder)
    return open_prepared(folder)


@pytest.fixture(scope="session")
def mirrored_data(tmp_path_factory):
    """A smaller data set with the feature maps of horizontal flips and of crops."""
    from keras_sat.data.prepared import open_prepared
    from pipeline.preparation.prepare import prepare

    folder = tmp_path_factory.mktemp("data") / "mirrored"
    prepare(small_prepare(source="train=12,val=4", mirror=True, crops=3), folder)
    return open_prepared(folder)


@pytest.fixture(scope="session")
def vocabulary(data):
    from keras_sat.text.vocabulary import Vocabulary

    return Vocabulary.load(data.folder / "vocabulary.txt")


@pytest.fixture(scope="session")
def experiment(data_folder):
    overrides = [
        *SMALL_MODEL,
        f"data.path={data_folder}",
        "data.batch_size=16",
        "train.epochs=2",
        "train.deterministic=false",
        "train.pictures=1",  # drawing attention takes longer than such a small captioner's epoch
    ]
    return config.load(None, overrides)


@pytest.fixture(scope="session")
def run(tmp_path_factory, experiment):
    """A run of two epochs."""
    from keras_sat.training.train import train

    return train(experiment, tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="session")
def changed(experiment):
    """Makes an experiment from the small one: changed(train={"epochs": 3})."""

    def change(**sections):
        replaced = {}
        for name, values in sections.items():
            replaced[name] = dataclasses.replace(getattr(experiment, name), **values)
        return dataclasses.replace(experiment, **replaced)

    return change
