"""Holds a data set's shards against their hashes, in a thread beside training."""

import contextlib
import threading

from keras_sat.data.prepared import AGAIN
from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import damage


class ShardCheck:
    """Hashes every shard of some splits once.

    Args:
        data: a `PreparedData`.
        splits: their names.
    """

    def __init__(self, data, splits):
        self._data = data
        self._splits = splits
        self._fault = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._check, name="shard check", daemon=True)

    @contextlib.contextmanager
    def running(self):
        """A context in which the thread runs; at its end the thread is told to stop."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stopped.set()

    def raise_if_damaged(self, wait=False):
        """Tells what has been found.

        Args:
            wait: whether to wait until every shard has been read.

        Raises:
            UserError: a shard is not the one that the manifest describes.
        """
        if wait:
            self._thread.join()
        if self._fault:
            raise UserError(f"{self._fault}; {AGAIN}")

    def _check(self):
        for split in self._splits:
            for shard in self._data.manifest["splits"][split]:
                fault = damage(
                    self._data.folder, shard["name"], shard["sha256"], self._stopped.is_set
                )
                if self._stopped.is_set():
                    return
                if fault:
                    self._fault = fault
                    return
