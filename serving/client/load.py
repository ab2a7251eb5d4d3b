"""Open-loop load on a server: sends requests at random moments, and measures the answers."""

import asyncio
import collections
import dataclasses
import functools
import itertools
import random
import time

import grpc
import numpy as np
from matplotlib.figure import Figure

from serving.client import messages
from serving.client.client import open_channel, token_metadata

_SIGNATURE = "serving_default"


@dataclasses.dataclass
class Outcome:
    """What became of one request. Times are in seconds.

    Args:
        due: when it was due, after the start.
        late: how much later than that it was sent.
        took: from when it was due until it was answered.
        status: gRPC's status, or OK_WITHOUT_CAPTION if the model could not read an image.
    """

    due: float
    late: float
    took: float
    status: str


async def load(
    images,
    rate,
    seconds,
    batch,
    seed,
    server,
    model,
    label,
    deadline,
    root_certificates,
    token,
    proxy=False,
):
    """Sends requests for captions in a Poisson process; none of them is repeated.

    Args:
        images: bytes, sent in turn.
        rate: requests per second, on average.
        seconds: for how long to send requests.
        batch: images per request.
        seed: of the random moments.
        server: this and all further arguments are as for `CaptionClient`.

    Returns:
        One `Outcome` per request.
    """
    spec = messages.model_spec(model, label=label)
    metadata = token_metadata(token)
    images_in_turn = itertools.cycle(images)
    tasks = []
    async with open_channel(server, root_certificates, grpc.aio, proxy) as channel:
        stub = messages.PredictionServiceStub(channel)
        start = time.monotonic()
        for moment in _moments(rate, seconds, seed):
            chosen = list(itertools.islice(images_in_turn, batch))
            request = messages.predict_request(spec, _SIGNATURE, {"image_bytes": chosen})
            await asyncio.sleep(start + moment - time.monotonic())
            ask = functools.partial(stub.Predict, request, timeout=deadline, metadata=metadata)
            tasks.append(asyncio.create_task(_outcome(ask, start, moment)))
        return await asyncio.gather(*tasks)


def _moments(rate, seconds, seed):
    """Yields the moments of a Poisson process, in seconds from 0 to `seconds`."""
    chance = random.Random(seed)
    moment = chance.expovariate(rate)
    while moment < seconds:
        yield moment
        moment += chance.expovariate(rate)


async def _outcome(ask, start, moment):
    due = start + moment
    sent = time.monotonic()
    try:
        status = _status(await ask())
    except grpc.RpcError as error:
        status = error.code().name
    return Outcome(due=moment, late=sent - due, took=time.monotonic() - due, status=status)


def _status(response):
    for row in messages.rows(response):
        if row["status"] != b"OK":
            return "OK_WITHOUT_CAPTION"
    return "OK"


def summary(outcomes, batch):
    """Summarises a load.

    Args:
        outcomes: the `Outcome` of each request.
        batch: images per request.

    Returns:
        {label: value}. Rates are per second. Latencies are in milliseconds, and those of the
        requests that got captions.
    """
    captioned = [outcome.took for outcome in outcomes if outcome.status == "OK"]
    wall = max((outcome.due + outcome.took for outcome in outcomes), default=1)
    return {
        "requests": len(outcomes),
        "by status": dict(collections.Counter(outcome.status for outcome in outcomes)),
        "images per second": round(len(captioned) * batch / wall, 2),
        "latency p50, ms": _percentile(captioned, 50),
        "latency p95, ms": _percentile(captioned, 95),
        "latency p99, ms": _percentile(captioned, 99),
        "sent late p99, ms": _percentile([outcome.late for outcome in outcomes], 99),
    }


def _percentile(seconds, percent):
    """A percentile in milliseconds, or None of nothing."""
    if not seconds:
        return None
    return round(1000 * float(np.percentile(seconds, percent)), 1)


def plot(outcomes, path):
    """Draws the latency of each request over the time when it was due, by status.

    Args:
        outcomes: the `Outcome` of each request.
        path: the PNG file to write.
    """
    by_status = collections.defaultdict(list)
    for outcome in outcomes:
        by_status[outcome.status].append(outcome)
    figure = Figure(figsize=(8, 4), layout="constrained")
    axis = figure.subplots()
    for status, chosen in sorted(by_status.items()):
        due = [outcome.due for outcome in chosen]
        latency = [1000 * outcome.took for outcome in chosen]
        axis.plot(due, latency, ".", label=f"{status} ({len(chosen)})")
    axis.set(xlabel="due, seconds", ylabel="latency, ms", yscale="log")
    axis.legend()
    figure.savefig(path, dpi=100)
