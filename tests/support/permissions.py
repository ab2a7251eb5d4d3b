"""Folders that cannot be written, for root as well, who may otherwise write everywhere."""

import contextlib
import ctypes

_VERSION_3 = 0x20080522
_MAY_WRITE_ANYWHERE = 1 << 1  # CAP_DAC_OVERRIDE


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def _capabilities():
    sets = (_Sets * 2)()
    assert ctypes.CDLL(None).capget(ctypes.byref(_Header(_VERSION_3, 0)), sets) == 0
    return sets


def _set(sets):
    assert ctypes.CDLL(None).capset(ctypes.byref(_Header(_VERSION_3, 0)), sets) == 0


@contextlib.contextmanager
def read_only(folder):
    """Within the block nothing in a folder can be written, or created beside it."""
    paths = [folder.parent, folder, *folder.rglob("*")] if folder.exists() else [folder.parent]
    modes = {path: path.stat().st_mode for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    before = _capabilities()
    without = _capabilities()
    without[0].effective &= ~_MAY_WRITE_ANYWHERE
    _set(without)
    try:
        yield
    finally:
        _set(before)
        for path, mode in modes.items():
            path.chmod(mode)
