"""Preparation on workers that share nothing with the command but the file system."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_sat.utils.errors import UserError
from pipeline.preparation.beam_runner import beam_options
from pipeline.preparation.prepare import prepare
from pipeline.preparation.remote import runner_of
from tests.support.commands import assert_one_line, call
from tests.support.ports import free_port
from tests.support.settings import small_prepare

JOB_SERVICE = "apache_beam.runners.portability.local_job_service_main"
WORKER_POOL = "apache_beam.runners.worker.worker_pool_main"
SECONDS = 60  # within which a process listens
ROOT = Path(__file__).parents[2]
# Files that say when, or how fast, they were made.
WITH_TIMES = ("encoder.keras", "statistics.json", "statistics.html", "SHA256SUMS")


@contextlib.contextmanager
def process(module, flag, folder):
    """Runs a service in a folder. Gives its address."""
    port = free_port()
    # A pool starts its workers as `python`.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with open(folder / f"{module}.log", "w") as log:
        service = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module, flag, str(port)],
            cwd=folder,
            env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(port)
        yield f"localhost:{port}"
    finally:
        service.terminate()
        service.wait()


def _wait_for(port):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
            return
        time.sleep(0.2)
    raise AssertionError(f"nothing listens on port {port}")


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """Beam's flags for a job service and for workers that were started in another folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with (
        process(JOB_SERVICE, "--port", folder) as jobs,
        process(WORKER_POOL, "--service_port", folder) as pool,
    ):
        yield [
            "--runner=PortableRunner",
            f"--job_endpoint={jobs}",
            "--environment_type=EXTERNAL",
            f"--environment_config={pool}",
        ]


def test_workers_elsewhere_write_the_bytes_of_a_local_job(flags, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = small_prepare(source="train=6,val=3")
    prepare(config, "here")
    prepare(config, "there", flags)
    files = sorted(path.name for path in Path("here").iterdir())
    assert files == sorted(path.name for path in Path("there").iterdir())
    for name in files:
        if name not in WITH_TIMES:
            assert Path("here", name).read_bytes() == Path("there", name).read_bytes(), name


def test_relative_paths_are_found_by_workers_elsewhere(flags, tmp_path, monkeypatch):
    """And what a worker refuses is one line, as in a local job."""
    monkeypatch.chdir(tmp_path)
    folder = Path("pictures")
    folder.mkdir()
    (folder / "captions.csv").write_text("image,caption,split\na.jpg,A dog .,train\n")
    (folder / "a.jpg").write_text("no picture")
    command = ["--source", "pictures", "--output", "data", "--weights", "none"]
    command += ["--encoder", "scenes_cnn", *flags]
    assert_one_line(call("pipeline.prepare", *command), "1 of 1 pictures", "not a picture")


def test_a_runner_that_is_not_there_is_told():
    with pytest.raises(UserError, match="--runner=FlinkRuner: no such runner; did you mean Flink"):
        runner_of(beam_options(["--runner=FlinkRuner"]))


def test_it_is_told_before_anything_is_made(tmp_path):
    with pytest.raises(UserError, match="no such runner"):
        prepare(small_prepare(source="train=6,val=3"), tmp_path / "data", ["--runner=Nonsense"])
    assert not list((tmp_path / ".data.partial").glob("encoder*"))


def test_a_job_service_that_does_not_answer_is_told(monkeypatch):
    monkeypatch.setattr("pipeline.preparation.remote._PATIENCE", 1)
    endpoint = f"--job_endpoint=localhost:{free_port()}"
    with pytest.raises(UserError, match=f"{endpoint}: no job service answers there"):
        runner_of(beam_options(["--runner=PortableRunner", endpoint]))
