"""Which devices train a run, and what the processes of one training settle among themselves.

One process trains on all GPUs of its machine. Several, on one machine or many, do where TF_CONFIG describes them as
TensorFlow's documentation says; they see the same folders, and one of them, the chief, writes the run.
"""

import contextlib
import os

import tensorflow as tf

from keras_sat.utils.errors import UserError


class Workers:
    """The processes that train together: most often this one alone.

    Args:
        strategy: a tf.distribute strategy; by default that of all workers of TF_CONFIG, else of all GPUs where there are
            several. That of several workers must be made before TensorFlow does anything else, and waits for them all.
    """

    def __init__(self, strategy=None):
        self.strategy = strategy or _strategy()
        self.several = _has_cluster(self.strategy)
        self.count = (
            sum(len(tasks) for tasks in _tasks(self.strategy).values()) if self.several else 1
        )
        self.chief = not self.several or _is_chief(self.strategy.cluster_resolver)

    def any(self, flag):
        """Whether `flag` holds for any worker. All of them must ask; it waits for the last."""
        return self._count(tf.constant(flag, tf.int32)).numpy() > 0 if self.several else flag

    @tf.function(autograph=False)
    def _count(self, flag):
        return self.strategy.reduce(
            tf.distribute.ReduceOp.SUM, self.strategy.run(lambda: flag), axis=None
        )

    def wait(self):
        """Until all workers have come this far."""
        self.any(False)

    @contextlib.contextmanager
    def together(self, folder):
        """Raises: UserError: another worker was lost while training in `folder`."""
        try:
            yield
        except _LOST as error:
            if not self.several:
                raise
            raise UserError(
                f"{folder}: another worker was lost; start all of them again, and training goes on from the last checkpoint"
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
                f"TF_CONFIG: describes no cluster ({error}); unset it to train in this process alone"
            ) from error
    many = len(tf.config.list_logical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if many else tf.distribute.get_strategy()


def _has_cluster(strategy):
    multi_worker = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return multi_worker and bool(strategy.cluster_resolver.cluster_spec().jobs)


def _tasks(strategy):
    """{job: addresses} of those that train."""
    jobs = strategy.cluster_resolver.cluster_spec().as_dict()
    return {job: jobs[job] for job in ("chief", "worker") if job in jobs}


def _is_chief(resolver):
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (first, 0)
