"""Which updates TensorBoard's profiler records, as `--profile 10:20` says."""

import tensorflow as tf


class Profile:
    """Records the time of some updates: of every op, of reading batches, of waiting.

    Args:
        folder: the run's logs.
        updates: (first, last), counted from 1 in this process; None records nothing.
    """

    def __init__(self, folder, updates=None):
        self._folder = str(folder)
        self._first, self._last = updates or (None, None)
        self._count = 0
        self._running = False

    def before_update(self):
        """Counts an update, and starts the profiler before the first one that is asked for."""
        self._count += 1
        if self._count == self._first:
            tf.profiler.experimental.start(self._folder)
            self._running = True

    def after_update(self):
        """Writes the profile after the last update that is asked for."""
        if self._count == self._last:
            self.stop()

    def stop(self):
        """Writes the profile if one is being recorded. Training may end before the last update."""
        if self._running:
            tf.profiler.experimental.stop()
            self._running = False
