"""One signature behind TensorFlow's batcher."""

import dataclasses
import itertools
import math
import threading
import time

import grpc
import numpy as np
import tensorflow as tf

from serving.server.errors import Refused, refused_by_tensorflow


@dataclasses.dataclass(eq=False)
class Call:
    """A request in progress.

    Args:
        deadline: until when the client waits, in seconds of time.monotonic().
        cancelled: whether the client has given up.
        waiting: how many of the request's rows are in no batch yet.
        queued_at: when it entered the queue, in seconds of time.monotonic().
    """

    deadline: float = math.inf
    cancelled: bool = False
    waiting: int = 0
    queued_at: float = 0.0

    def abandoned(self):
        """Whether nobody waits for the answer any more."""
        return self.cancelled or time.monotonic() > self.deadline


class Endpoint:
    """Batches the calls of one signature. Create it while the SavedModel's graph is the default.

    The batcher splits requests above the largest batch, pads a batch to an allowed size with copies
    of a row, and refuses with UNAVAILABLE what its queue cannot hold. Each row travels with a
    ticket (call, row). When a batch starts, the tickets tell which calls are in it, how long they
    waited, and whether any client still waits. As in TensorFlow Serving, a batch is not computed if
    every client in it has given up. (A timeout of the session would not do: it would end the batch
    for all clients in it.)

    Args:
        key: the signature's name.
        function: the signature's ConcreteFunction.
        batching: a `BatchingParameters`.
        metrics: a `serving.server.metrics.Metrics`.
    """

    def __init__(self, key, function, batching, metrics):
        self._metrics = metrics
        self._calls = {}
        self._ids = itertools.count()
        self._lock = threading.Lock()
        self._capacity = batching.largest_request  # rows
        self.waiting = 0  # rows
        _, inputs = function.structured_input_signature
        self._inputs = {
            name: tf.compat.v1.placeholder(spec.dtype, spec.shape) for name, spec in inputs.items()
        }
        self._tickets = tf.compat.v1.placeholder(tf.int64, [None, 2])
        self._outputs = sorted(function.structured_outputs)
        batched = self._batched(function, batching)
        with tf.name_scope(key):  # the queue is known by this name
            self._fetches = batched(self._tickets, *self._inputs.values())

    def _batched(self, function, batching):
        """Wraps a signature's function in the batcher."""

        # A session's optimizer would leave the convolutions of a batch function unfused: a third
        # slower, and not bit for bit what the SavedModel answers. A call that is not inlined is
        # optimized by itself, when it first runs.
        @tf.function(autograph=False, experimental_attributes={"_noinline": True})
        def compute(inputs):
            return function(**inputs)

        def batch(tickets, *arguments):
            start = tf.numpy_function(self._start, [tickets], [])
            with tf.control_dependencies([start]):
                inputs = {name: tf.identity(each) for name, each in zip(self._inputs, arguments)}
            outputs = compute(inputs)
            return [outputs[name] for name in self._outputs]

        return tf.nondifferentiable_batch_function(
            num_batch_threads=batching.threads,
            # This bounds a request. The last allowed size bounds what is computed at once.
            max_batch_size=batching.largest_request,
            batch_timeout_micros=batching.timeout_micros,
            allowed_batch_sizes=batching.allowed_sizes,
            max_enqueued_batches=batching.max_enqueued_batches,
            autograph=False,
        )(batch)

    def admit(self, call, rows):
        """Takes places in the queue, which `leave` gives back.

        A request that finds no room is thus refused before it occupies a thread.

        Args:
            call: a `Call`.
            rows: of the request.

        Raises:
            Refused: UNAVAILABLE, as the batcher itself would say.
        """
        with self._lock:
            if self.waiting + rows > self._capacity:
                raise Refused(
                    grpc.StatusCode.UNAVAILABLE,
                    f"the batch queue is full: {rows} more images do not fit beside the "
                    f"{self.waiting} that wait",
                )
            self.waiting += rows
            call.waiting = rows
            call.queued_at = time.monotonic()

    def leave(self, call):
        """Gives back the places of a call's rows that got into no batch."""
        with self._lock:
            self._take_out(call, call.waiting)

    def run(self, session, arrays, call):
        """Queues an admitted call's rows, and waits for the outputs.

        Args:
            session: the tf.compat.v1.Session of the graph.
            arrays: {input: array}, with equal first dimensions.
            call: a `Call`.

        Returns:
            {output: array}.

        Raises:
            Refused: with the status of an error of the batcher or the graph.
        """
        number = next(self._ids)
        rows = len(next(iter(arrays.values())))
        feed = {self._inputs[name]: array for name, array in arrays.items()}
        feed[self._tickets] = np.stack([np.full(rows, number), np.arange(rows)], axis=1)
        self._calls[number] = call
        try:
            return dict(zip(self._outputs, session.run(self._fetches, feed)))
        except tf.errors.OpError as error:
            raise refused_by_tensorflow(error) from error
        finally:
            del self._calls[number]

    def _take_out(self, call, rows):
        """Counts rows as waiting no more; the caller holds the lock."""
        call.waiting -= rows
        self.waiting -= rows

    def _start(self, tickets):
        """Runs in the graph when a batch is complete.

        Args:
            tickets: int64 [B, 2], with repeated rows if the batch is padded.

        Raises:
            RuntimeError: every client in the batch has given up.
        """
        now = time.monotonic()
        rows = np.unique(tickets, axis=0)  # without the padding
        numbers, counts = np.unique(rows[:, 0], return_counts=True)
        calls = [self._calls[number] for number in numbers]
        with self._lock:
            for call, count in zip(calls, counts):
                self._take_out(call, int(count))
        if all(call.abandoned() for call in calls):
            raise RuntimeError("no one waits for this batch any more")
        self._metrics.batch_starts(len(rows), [now - call.queued_at for call in calls])
