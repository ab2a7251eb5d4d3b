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
    """A request on its way: until when someone waits for it, and how many of its rows are in no batch yet."""

    deadline: float = math.inf  # of time.monotonic()
    cancelled: bool = False
    waiting: int = 0
    queued_at: float = 0.0

    def abandoned(self):
        return self.cancelled or time.monotonic() > self.deadline


class Endpoint:
    """Batches the calls of one signature; made while the SavedModel's graph is the default one.

    The batcher splits a request above the largest batch, pads a batch to an allowed size with copies of a row, and refuses
    with UNAVAILABLE what its queue cannot hold. Each row travels with a ticket (call, row), so that the start of a batch is
    seen: who is in it, how long they waited, and whether anyone still does: as in TensorFlow Serving, a batch that all have
    abandoned is not computed. (A session's own timeout would not do: it ends the batch for everyone in it.)
    """

    def __init__(self, key, function, batching, metrics):
        """Args: key: the signature's. function: its ConcreteFunction. batching: a `Batching`. metrics: a `Metrics`."""
        self._metrics, self._calls, self._ids, self._lock = (
            metrics,
            {},
            itertools.count(),
            threading.Lock(),
        )
        self._capacity, self.waiting = batching.largest_request, 0  # rows
        _, inputs = function.structured_input_signature
        self._inputs = {
            name: tf.compat.v1.placeholder(spec.dtype, spec.shape) for name, spec in inputs.items()
        }
        self._tickets = tf.compat.v1.placeholder(tf.int64, [None, 2])
        self._outputs = sorted(function.structured_outputs)

        # A session's optimiser leaves the convolutions of a batch function unfused: a third slower, and not bit for bit what
        # the SavedModel answers. A call that is not inlined is optimised by itself, when it first runs.
        @tf.function(autograph=False, experimental_attributes={"_noinline": True})
        def compute(inputs):
            return function(**inputs)

        def batch(tickets, *arguments):
            with tf.control_dependencies([tf.numpy_function(self._start, [tickets], [])]):
                inputs = {name: tf.identity(each) for name, each in zip(self._inputs, arguments)}
            outputs = compute(inputs)
            return [outputs[name] for name in self._outputs]

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

    def admit(self, call, rows):
        """Takes a place in the queue, to be given back by `leave`: what finds no room shall not cost a thread.

        Raises:
            Refused: UNAVAILABLE, as the batcher itself would say.
        """
        with self._lock:
            if self.waiting + rows > self._capacity:
                raise Refused(
                    grpc.StatusCode.UNAVAILABLE,
                    f"the batch queue is full: {self.waiting} images wait in it",
                )
            self.waiting += rows
            call.waiting, call.queued_at = rows, time.monotonic()

    def leave(self, call):
        """Gives back the places of rows that came into no batch."""
        with self._lock:
            self._served(call, call.waiting)

    def run(self, session, arrays, call):
        """Queues an admitted call's rows, and waits for them.

        Args:
            arrays: {input: array}, with equal first dimensions. call: a `Call`.
        Returns:
            {output: array}.
        Raises:
            Refused: what the batcher or the graph says.
        """
        number, rows = next(self._ids), call.waiting
        tickets = np.stack([np.full(rows, number), np.arange(rows)], axis=1)
        feed = {
            self._tickets: tickets,
            **{self._inputs[name]: array for name, array in arrays.items()},
        }
        self._calls[number] = call
        try:
            return dict(zip(self._outputs, session.run(self._fetches, feed)))
        except tf.errors.OpError as error:
            raise refused_by_tensorflow(error) from error
        finally:
            del self._calls[number]

    def _served(self, call, rows):
        call.waiting -= rows
        self.waiting -= rows

    def _start(self, tickets):
        """Runs in the graph when a batch is put together: tickets int64 [B, 2], with copies where it is padded."""
        now, numbers = time.monotonic(), np.unique(tickets, axis=0)[:, 0]
        counts = dict(zip(*np.unique(numbers, return_counts=True)))
        calls = {self._calls[number]: int(rows) for number, rows in counts.items()}
        with self._lock:
            for call, rows in calls.items():
                self._served(call, rows)
        if all(call.abandoned() for call in calls):
            raise RuntimeError("no one waits for this batch any more")
        self._metrics.batch_starts(len(numbers), [now - call.queued_at for call in calls])
