"""Claims: one process at a time, its name for the others, and nothing left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from keras_sat.utils import claim
from keras_sat.utils.claim import check_unread, claimed, reading
from keras_sat.utils.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from keras_sat.utils import claim
if sys.argv[3] == "shared":
    claim.is_local = lambda folder: False
with getattr(claim, sys.argv[2])(Path(sys.argv[1]), "training"):
    print("held", flush=True)
    time.sleep(60)
"""


def take(folder):
    with claimed(folder, "another"):
        pass


@pytest.fixture(params=["local", "shared"])
def system(request, monkeypatch):
    """The kind of file system that a folder is on."""
    if request.param == "shared":
        monkeypatch.setattr(claim, "is_local", lambda folder: False)
    return request.param


@pytest.fixture
def hold():
    """Starts a process that holds a claim: hold(folder, "claimed" or "reading", system)."""
    children = []

    def start(folder, kind, system):
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder), kind, system],
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout.readline() == "held\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()


def test_a_claim_names_its_holder_and_ends_with_it(system, hold, tmp_path):
    folder = tmp_path / "a [1] *"
    child = hold(folder, "claimed", system)
    with pytest.raises(UserError) as refused:
        take(folder)
    for part in (folder, "training since", f"process {child.pid}", socket.gethostname()):
        assert str(part) in str(refused.value)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with claimed(folder, "other"), pytest.raises(UserError, match="other since"):
        take(folder)
    assert not list(tmp_path.iterdir()), "no file is left behind"


def test_another_hosts_claim_holds_on_a_shared_file_system_only(system, tmp_path):
    """Its lock does not reach this host; the file alone tells of it."""
    holder = {"doing": "training", "host": "elsewhere", "process": 7, "since": "yesterday"}
    path = tmp_path / ".run.lock"
    path.write_text(json.dumps(holder))
    if system == "local":  # of a container that had another name
        take(tmp_path / "run")
    else:
        with pytest.raises(UserError, match=rf"process 7 on elsewhere; .* remove {path}"):
            take(tmp_path / "run")
        assert json.loads(path.read_text()) == holder


def test_without_locks_the_process_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "is_local", lambda folder: False)
    monkeypatch.setattr(claim, "_lock", lambda file, wait: None)
    with claimed(tmp_path / "run", "training"), pytest.raises(UserError, match="training since"):
        take(tmp_path / "run")
    gone = subprocess.Popen(["true"])
    gone.wait()
    holder = {"host": socket.gethostname(), "process": gone.pid}
    (tmp_path / ".run.lock").write_text(json.dumps(holder))
    take(tmp_path / "run")


def test_what_is_read_is_not_replaced(system, hold, tmp_path):
    data = tmp_path / "data [1]"
    check_unread(data)
    children = [hold(data, "reading", system) for _ in range(2)]
    for child in children:
        with pytest.raises(UserError, match="training since"):
            check_unread(data)
        child.send_signal(signal.SIGKILL)
        child.wait()
    check_unread(data)
    assert not list(tmp_path.iterdir())


def test_of_many_processes_one_at_a_time_holds_a_claim(system, tmp_path):
    """They claim and release as fast as they can; the file that they delete is no loophole."""
    work = """
import sys, time
from pathlib import Path
from keras_sat.utils import claim
from keras_sat.utils.errors import UserError
if sys.argv[2] == "shared":
    claim.is_local = lambda folder: False
folder = Path(sys.argv[1])
begun = time.monotonic()
done = 0
while time.monotonic() < begun + (2 if done else 60):  # a busy machine may need longer
    try:
        with claim.claimed(folder / "run", "training"):
            (folder / "inside").mkdir()  # fails if another one is inside
            (folder / "inside").rmdir()
            done += 1
    except UserError:
        pass
assert done
"""
    command = [sys.executable, "-c", work, str(tmp_path), system]
    children = [subprocess.Popen(command) for _ in range(4)]
    assert [child.wait() for child in children] == [0] * 4


def test_the_root_of_a_volume_holds_its_own_claim(tmp_path, monkeypatch):
    """What is beside it cannot be written."""
    folder = tmp_path / "volume"
    folder.mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, how: path != tmp_path and access(path, how))
    with claimed(folder, "training"):
        assert [path.name for path in folder.iterdir()] == [".volume.lock"]
    with reading(folder, "training"), pytest.raises(UserError, match="training since"):
        check_unread(folder)


def test_file_systems(tmp_path, monkeypatch):
    class Mount:
        def __init__(self, mountpoint, fstype):
            self.mountpoint = mountpoint
            self.fstype = fstype

    mounts = [Mount("/", "ext4"), Mount("/home", "nfs4"), Mount("/home/a/b", "fuse.sshfs")]
    monkeypatch.setattr(claim.psutil, "disk_partitions", lambda all: mounts)
    assert claim.is_local(tmp_path)
    assert not claim.is_local(tmp_path.__class__("/home/a"))
    assert not claim.is_local(tmp_path.__class__("/home/a/b/c"))
    assert claim.is_local(tmp_path.__class__("/homes"))


def test_since_is_a_time(tmp_path):
    with claimed(tmp_path / "run", "training"):
        since = json.loads((tmp_path / ".run.lock").read_text())["since"]
    assert abs(time.mktime(time.strptime(since, "%Y-%m-%d %H:%M:%S")) - time.time()) < 60
