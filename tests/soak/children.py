"""Child processes that are killed at chosen moments.

They are forked from a process that has imported TensorFlow and computed nothing with it, so that
they start at once.
"""

import mmap
import os
import signal
import sys
import time
import traceback

from keras_sat.runs.checkpoints import Checkpoints
from keras_sat.training.trainer import Trainer
from keras_sat.training.validation import Validation

STARTING = 0
TRAINING = 1
VALIDATING = 2
WRITING_BEST = 3
WRITING_LAST = 4
# {phase: the method that lasts as long as it}
_METHODS = {
    TRAINING: (Trainer, "_epoch"),
    VALIDATING: (Validation, "__call__"),
    WRITING_BEST: (Checkpoints, "save_best"),
    WRITING_LAST: (Checkpoints, "save_last"),
}


class Child:
    """A process that calls a function, and tells in which phase of training it is.

    Args:
        work: the function, without arguments.
        log: the file to which its output is appended.
    """

    def __init__(self, work, log):
        self._phase = mmap.mmap(-1, 1)
        self.pid = os.fork()
        if self.pid == 0:
            self._run(work, log)

    def _run(self, work, log):
        status = 1
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            for phase, (owner, name) in _METHODS.items():
                self._follow(phase, owner, name)
            work()
            status = 0
        except KeyboardInterrupt:
            status = 130
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)

    def _follow(self, phase, owner, name):
        method = getattr(owner, name)

        def followed(*arguments, **keywords):
            before = self._phase[0]
            self._phase[0] = phase
            try:
                return method(*arguments, **keywords)
            finally:
                self._phase[0] = before

        setattr(owner, name, followed)

    def signal(self, number, phase, delay):
        """Sends a signal a while after a phase has begun.

        Args:
            number: the signal.
            phase: to wait for; STARTING: none.
            delay: seconds after its beginning.

        Returns:
            Whether the process was still running.
        """
        while phase != STARTING and self._phase[0] != phase:
            if not self.is_running():
                return False
            time.sleep(0.0005)
        time.sleep(delay)
        if not self.is_running():
            return False
        os.kill(self.pid, number)
        return True

    def is_running(self):
        finished = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return finished is None

    def wait(self):
        """Waits for the end. Returns: the exit code, negative for a signal."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def phase_began(self, phase):
        """Waits for a phase, and returns the time."""
        while self._phase[0] != phase and self.is_running():
            time.sleep(0.001)
        return time.monotonic()


KILLS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
