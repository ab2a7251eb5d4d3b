"""Which devices train a run, and how the processes of one training coordinate.

One process trains on all GPUs of its machine. Several processes, on one machine or many, train
together where TF_CONFIG describes them as TensorFlow's documentation says. They see the same
folders, and one of them, the chief, writes the run.
"""

import contextlib
import os

import tensorflow as tf

from keras_sat.utils.errors import UserError


class Workers:
    """The processes that train together, often only this one.

    Attributes:
        strategy: the tf.distribute strategy.
        several: whether there are several processes.
        count: how many processes train.
        chief: whether this process writes the run.

    Args:
        strategy: a tf.distribute strategy (default: that of all workers of TF_CONFIG, else of all
            GPUs if there are several). A strategy of several workers must be made before TensorFlow
            does anything else, and waits for them all.
    """

    def __init__(self, strategy=None):
        self.strategy = strategy or _strategy()
        self.several = _has_cluster(self.strategy)
        self.count = _count_workers(self.strategy) if self.several else 1
        self.chief = not self.several or _is_chief(self.strategy.cluster_resolver)

    def any(self, flag):
        """Whether `flag` holds for any worker.

        All workers must call this; it waits for the last of them.
        """
        if not self.several:
            return flag
        return self._count(tf.constant(flag, tf.int32)).numpy() > 0

    @tf.function(autograph=False)
    def _count(self, flag):
        flags = self.strategy.run(lambda: flag)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, flags, axis=None)

    def wait(self):
        """Waits until all workers have reached this point."""
        self.any(False)

    @contextlib.contextmanager
    def together(self, folder):
        """Within the block the loss of another worker is a `UserError`.

        Args:
            folder: of the run that is trained, for the message.

        Raises:
            UserError: another worker was lost.
        """
        try:
            yield
        except _LOST as error:
            if not self.several:
                raise
            raise UserError(
                f"{folder}: another worker was lost; start all of them again, "
                "and training resumes from the last checkpoint (if the system killed it because "
                "memory ran out, raise train.accumulate)"
            ) from error


_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
)


def _strategy():
    if "TF_CONFIG" in os.environ:
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"TF_CONFIG: describes no cluster ({error}); "
                "unset it to train in this process alone"
            ) from error
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _has_cluster(strategy):
    multi_worker = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return multi_worker and bool(strategy.cluster_resolver.cluster_spec().jobs)


def _count_workers(strategy):
    """How many processes of the cluster train."""
    jobs = strategy.cluster_resolver.cluster_spec().as_dict()
    return len(jobs.get("chief", [])) + len(jobs.get("worker", []))


def _is_chief(resolver):
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (first, 0)
