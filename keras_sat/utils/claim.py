"""Claims on folders: one process at a time writes, and nothing is replaced while it is read.

A claim is a file beside the folder that names its holder. On a local file system the operating
system holds it (flock) and releases it however the process ends. File systems that several hosts
share may not pass such a lock on, so there the file itself is the claim: it is created exclusively,
and another host's claim holds until the file is removed.
"""

import contextlib
import errno
import fcntl
import glob
import json
import os
import socket
import time
import uuid
from pathlib import Path

import psutil

from keras_sat.utils.errors import UserError

_SUFFIX = ".lock"
# File systems that several hosts may share. Those in user space may be anything.
_SHARED = ("nfs", "cifs", "smb", "fuse", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "gluster")
_NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def claimed(folder, doing):
    """Within the block no other process can claim the folder.

    Args:
        folder: what the block writes; it need not exist.
        doing: what the block does, for the message to others, such as "training".

    Raises:
        UserError: another process holds the claim, or the claim cannot be written.
    """
    folder = Path(folder)
    with _held(_claim_of(folder), folder, doing):
        yield


@contextlib.contextmanager
def reading(folder, doing):
    """Within the block `check_unread` of the folder fails in other processes.

    Any number of processes may read. In a place where nothing can be written there is no claim.

    Args:
        folder: what the block reads.
        doing: what the block does, for the message to others.
    """
    folder = Path(folder)
    path = _claim_of(folder, f"read-{socket.gethostname()}-{uuid.uuid4().hex[:8]}")
    if not os.access(path.parent, os.W_OK):
        yield
        return
    with _held(path, folder, doing):
        yield


def check_unread(folder):
    """Checks that no other process reads a folder.

    Raises:
        UserError: one does.
    """
    claim = _claim_of(Path(folder), "read-")
    readers = glob.escape(claim.name.removesuffix(_SUFFIX)) + f"*{_SUFFIX}"
    for path in claim.parent.glob(readers):
        with _held(path, folder, "checking"):
            pass  # its reader is gone, and now its claim is


def _claim_of(folder, kind=""):
    """The file of a claim: beside the folder, or in it where that is a place of its own.

    The root of a mounted volume is such a place: what is beside it cannot be written.
    """
    folder = folder.resolve()
    place = folder.parent
    if folder.is_dir() and not os.access(place, os.W_OK):
        place = folder
    name = f".{folder.name}.{kind}" if kind else f".{folder.name}"
    return place / f"{name}{_SUFFIX}"


@contextlib.contextmanager
def _held(path, folder, doing):
    file = _open(path, folder)
    try:
        file.seek(0)
        file.truncate()
        json.dump(_myself(doing), file)
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock ends with the file
        file.close()


def _myself(doing):
    return {
        "doing": doing,
        "host": socket.gethostname(),
        "process": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _open(path, folder):
    """The claim's file, opened and locked.

    Raises:
        UserError: another process holds it, or it cannot be written.
    """
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file, is_new = _create_or_open(path)
        except FileNotFoundError:
            continue  # its holder deleted it just now
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be written there ({error.strerror}: {error.filename}); "
                "change its permissions, or choose another folder"
            ) from error
        # On a shared file system whoever creates the file holds the claim. Others lock it for the
        # moment in which they read it, and without waiting it would be left there, held by nobody.
        locked = _lock(file, wait=is_new and not is_local(path.parent))
        holder = _holder(file)
        if locked is False or (not is_new and _may_be_held(path, holder, locked)):
            file.close()
            raise UserError(_refusal(path, folder, holder))
        if _is_still_there(path, file):
            return file
        file.close()


def _create_or_open(path):
    """(the file opened to read and write, whether it was not there before)."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        is_new = True
    except FileExistsError:
        descriptor = os.open(path, os.O_RDWR)
        is_new = False
    return os.fdopen(descriptor, "r+", encoding="utf-8"), is_new


def _lock(file, wait):
    """Locks a file. Returns: whether it could be; None where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in _NOT_SUPPORTED else False
    return True


def _holder(file):
    """What a claim's file says of its holder; {} where it says nothing yet."""
    try:
        holder = json.loads(file.read())
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_still_there(path, file):
    """Whether the open file is the one of that name: its holder may have deleted it."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _may_be_held(path, holder, locked):
    """Whether a claim that was there before may be held though nothing here has locked it."""
    if locked and is_local(path.parent):
        return False
    if holder.get("host") != socket.gethostname():
        return True  # or its holder has not written its name yet
    return not locked and psutil.pid_exists(holder.get("process", 0))


def is_local(folder):
    """Whether a folder is on a file system that only this host sees."""
    kind = ""
    longest = 0
    for each in psutil.disk_partitions(all=True):
        is_above = Path(each.mountpoint) in (folder, *folder.parents)
        if is_above and len(each.mountpoint) >= longest:
            longest = len(each.mountpoint)
            kind = each.fstype
    return not kind.lower().startswith(_SHARED)


def _refusal(path, folder, holder):
    if not holder:
        return f"{folder}: another process is at work there; wait for it, or remove {path}"
    return (
        f"{folder}: {holder.get('doing')} since {holder.get('since')} in process "
        f"{holder.get('process')} on {holder.get('host')}; wait for it, or if that process "
        f"is gone remove {path}"
    )
