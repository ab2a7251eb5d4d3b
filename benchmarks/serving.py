"""python -m benchmarks.serving --model-base-path serving/models/NAME PICTURES --minutes 10

Images a second through `serving.server` beside the SavedModel called directly in its largest batches, in one run: direct,
served (as many clients as fill the batches), direct again; then twice as many requests as the server bears, and, for
--minutes, 70 % of them, with the server's memory. Server, clients and the direct calls share one machine.
"""

import argparse
import asyncio
import itertools
import re
import time
import urllib.request
from pathlib import Path

from serving.client.pictures import list_pictures, read_picture
from serving.process import ServerProcess
from serving.server.batching import MODEL_FILE, BatchingParameters


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__.split("\n\n")[1]
    )
    parser.add_argument("pictures", nargs="+", help="files or folders")
    parser.add_argument(
        "--model-base-path", required=True, metavar="DIR", help="what serving.server serves"
    )
    parser.add_argument(
        "--seconds", type=float, default=30, metavar="S", help="of each measurement (%(default)s)"
    )
    parser.add_argument(
        "--minutes", type=float, default=0, metavar="M", help="of steady load (%(default)s)"
    )
    args = parser.parse_args(arguments)

    from serving.client.load import summary

    images = [read_picture(name, 32 << 20) for name in list_pictures(args.pictures)]
    version = max(
        (path for path in Path(args.model_base_path).iterdir() if path.name.isdecimal()),
        key=lambda p: int(p.name),
    )
    parameters = version / MODEL_FILE
    text = parameters.read_text("utf-8") if parameters.exists() else ""
    batching = BatchingParameters(text)
    largest = batching.max_batch_size

    direct = _direct(version, images, largest, args.seconds / 2)
    with ServerProcess(args.model_base_path) as server:
        served = asyncio.run(
            _served(server.address, images, largest * (batching.threads + 1), args.seconds)
        )
    direct = (direct + _direct(version, images, largest, args.seconds / 2)) / 2
    print(
        f"direct {direct:.1f} images/s, served {served:.1f} images/s, ratio {served / direct:.2f}"
    )
    with ServerProcess(args.model_base_path) as server:
        answers = asyncio.run(_load(server.address, images, 2 * served, args.seconds))
        print(f"at twice the load: {summary(answers, 1)}")
        refused = sorted(answer.took for answer in answers if answer.status == "UNAVAILABLE")
        if refused:
            print(f"refused after, median: {1000 * refused[len(refused) // 2]:.1f} ms")
        minutes = []
        for minute in range(1, int(args.minutes) + 1):
            answers = asyncio.run(_load(server.address, images, 0.7 * served, 60))
            minutes.append(_megabytes(server))
            print(
                f"minute {minute}: {minutes[-1]:.0f} MB, {summary(answers, 1)}",
                flush=True,
            )
        if len(minutes) > 1:
            print(
                f"memory grew by {minutes[-1] - minutes[0]:.1f} MB from minute 1 to minute {len(minutes)}"
            )


def _direct(version, images, batch, seconds):
    """Images a second."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    function = tf.saved_model.load(str(version)).signatures["serving_default"]
    turn = itertools.cycle(images)

    def call():
        function(image_bytes=tf.constant(list(itertools.islice(turn, batch))))

    call()
    start, done = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        call()
        done += batch
    return done / (time.monotonic() - start)


async def _served(address, images, clients, seconds):
    """Images a second that so many clients get, each asking for one after the other."""
    import grpc

    from serving.client import messages

    turn, spec, done = itertools.cycle(images), messages.model_spec("captioner"), 0

    async def client(stub):
        nonlocal done
        while time.monotonic() < end:
            await stub.Predict(
                messages.predict_request(spec, "serving_default", {"image_bytes": [next(turn)]})
            )
            done += 1

    async with grpc.aio.insecure_channel(address) as channel:
        stub = messages.PredictionServiceStub(channel)
        start = time.monotonic()
        end = start + seconds
        await asyncio.gather(*(client(stub) for _ in range(clients)))
        return done / (time.monotonic() - start)


def _load(address, images, rate, seconds):
    from serving.client.load import load

    options = {
        "server": address,
        "model": "captioner",
        "label": None,
        "root_certificates": None,
        "token": None,
    }
    return load(images, rate, seconds, batch=1, seed=1, deadline=60, **options)


def _megabytes(server):
    """Resident memory."""
    with urllib.request.urlopen(server.metrics) as page:
        return (
            float(
                re.search(
                    r"^process_resident_memory_bytes (\S+)", page.read().decode(), re.M
                ).group(1)
            )
            / 2**20
        )


if __name__ == "__main__":
    main()
