"""One signature behind TensorFlow's batcher."""

import dataclasses
import itertools
import threading
import time

import grpc
import numpy as np
import tensorflow as tf

from serving.errors import Refused, refused_by_tensorflow


@dataclasses.dataclass(eq=False)
class Call:
    """A request on its way: who waits for it, until when, and how many of its rows are in no batch yet."""

    deadline: float | None = None  # of time.monotonic()
    cancelled: bool = False
    waiting: int = 0
    queued_at: float = 0.0

    def milliseconds_left(self):
        """Or 0, which is no limit to TensorFlow.

        Raises:
            Refused: DEADLINE_EXCEEDED.
        """
        if self.deadline is None:
            return 0
        left = int(1000 * (self.deadline - time.monotonic()))
        if left <= 0:
            raise Refused(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the request was queued")
        return left


class Endpoint:
    """Batches the calls of one signature; made while the SavedModel's graph is the default one.

    Each row travels with a ticket (call, row), so that the start of a batch is seen: who is in it, how long they waited,
    and whether anyone still wants it. The batcher splits a request above the largest batch, pads a batch to an allowed
    size with copies of a row, refuses with UNAVAILABLE what its queue cannot hold, and drops what timed out.
    """

    def __init__(self, key, function, batching, metrics):
        """Args: key: the signature's. function: its ConcreteFunction. batching: a `Batching`. metrics: a `Metrics`."""
        self._metrics, self._calls, self._ids, self._lock = metrics, {}, itertools.count(), threading.Lock()
        _, inputs = function.structured_input_signature
        self._inputs = {name: tf.compat.v1.placeholder(spec.dtype, spec.shape) for name, spec in inputs.items()}
        self._tickets = tf.compat.v1.placeholder(tf.int64, [None, 2])
        names = list(self._inputs)

        def batch(tickets, *arguments):
            with tf.control_dependencies([tf.numpy_function(self._start, [tickets], [])]):
                arguments = [tf.identity(each) for each in arguments]
            outputs = function(**dict(zip(names, arguments)))
            return [outputs[name] for name in self._outputs]

        self._outputs = sorted(function.structured_outputs)
        batched = tf.nondifferentiable_batch_function(
            num_batch_threads=batching.threads,
            max_batch_size=batching.largest_request,  # of what is given; the last allowed size bounds what is computed
            batch_timeout_micros=batching.timeout_micros,
            allowed_batch_sizes=batching.allowed_sizes,
            max_enqueued_batches=batching.max_enqueued_batches,
            autograph=False,
        )(batch)
        with tf.name_scope(key):  # the queue is known by this name
            self._fetches = batched(self._tickets, *self._inputs.values())

    def run(self, session, arrays, call):
        """Queues a request's rows, and waits for them.

        Args:
            arrays: {input: array}, with equal first dimensions. call: a `Call`.
        Returns:
            {output: array}.
        Raises:
            Refused: UNAVAILABLE where the queue is full, DEADLINE_EXCEEDED, or what the graph says.
        """
        number, rows = next(self._ids), len(next(iter(arrays.values())))
        tickets = np.stack([np.full(rows, number), np.arange(rows)], axis=1)
        feed = {self._tickets: tickets, **{self._inputs[name]: array for name, array in arrays.items()}}
        options = tf.compat.v1.RunOptions(timeout_in_ms=call.milliseconds_left())
        call.waiting, call.queued_at = rows, time.monotonic()
        self._calls[number] = call
        try:
            return dict(zip(self._outputs, session.run(self._fetches, feed, options=options)))
        except tf.errors.OpError as error:
            raise refused_by_tensorflow(error) from error
        finally:
            del self._calls[number]

    def waiting(self):
        """Rows that are in no batch yet."""
        return sum(call.waiting for call in list(self._calls.values()))

    def _start(self, tickets):
        now, numbers = time.monotonic(), np.unique(tickets, axis=0)[:, 0]
        calls = []
        with self._lock:
            for number, rows in zip(*np.unique(numbers, return_counts=True)):
                if call := self._calls.get(int(number)):
                    call.waiting -= int(rows)
                    calls.append(call)
        if all(call.cancelled for call in calls):
            raise RuntimeError("no one waits for this batch any more")
        self._metrics.batch_starts(len(numbers), [now - call.queued_at for call in calls])
