"""What the server measures, for Prometheus."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters, gauges and histograms in a registry of their own."""

    def __init__(self):
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._registry = registry
        self._requests = Counter(
            "serving_requests", "Answered requests", ["method", "code"], registry=registry
        )
        self._seconds = Histogram(
            "serving_request_seconds",
            "From the request's arrival to its answer",
            ["method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "serving_requests_in_flight", "Requests without an answer yet", registry=registry
        )
        self._batch = Histogram(
            "serving_batch_images",
            "Images per batch, without padding",
            buckets=_BATCH_SIZES,
            registry=registry,
        )
        self._queue = Histogram(
            "serving_queue_seconds", "From queue to batch", buckets=_SECONDS, registry=registry
        )
        self._waiting = Gauge("serving_queue_images", "Images in no batch yet", registry=registry)
        self._versions = Gauge(
            "serving_version_available",
            "1 if it answers requests",
            ["model", "version"],
            registry=registry,
        )

    def request_ends(self, method, code, seconds):
        """Counts an answered request.

        Args:
            method: the method's name.
            code: the answer's grpc.StatusCode.
            seconds: from the request's arrival to its answer.
        """
        self._requests.labels(method, code.name).inc()
        self._seconds.labels(method).observe(seconds)

    def batch_starts(self, images, seconds_queued):
        """Counts a batch.

        Args:
            images: how many it holds, without padding.
            seconds_queued: how long each of its calls waited in the queue.
        """
        self._batch.observe(images)
        for seconds in seconds_queued:
            self._queue.observe(seconds)

    def version_changes(self, model, version, available):
        """Records whether a version answers requests."""
        self._versions.labels(model, version).set(available)

    def watch_queue(self, waiting):
        """Takes a function that returns how many images are in no batch yet."""
        self._waiting.set_function(waiting)

    def page(self):
        """The metrics in Prometheus' text format, as bytes."""
        return generate_latest(self._registry)
