"""python -m benchmarks.serving --model-base-path serving/models/NAME PICTURES --minutes 10

Images per second through `serving.server` beside the SavedModel called directly in its largest
batches, in one run: direct, served (as many clients as fill the batches), and direct again. Then
the server gets twice as many requests as it can answer and, for --minutes, 70 % of them, while its
memory is watched. Server, clients and the direct calls share one machine.
"""

import argparse
import asyncio
import itertools
import re
import time
import urllib.request
from pathlib import Path

import grpc
import tensorflow as tf
import tensorflow_text  # noqa: F401  its ops are in the SavedModel

from keras_sat.pictures.reading import list_pictures, read_picture
from serving import load_test
from serving.client import messages
from serving.process import ServerProcess
from serving.server.batching import MODEL_FILE, Batching


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
    images = [read_picture(name, 32 << 20) for name in list_pictures(args.pictures)]
    version = _newest_version(args.model_base_path)
    parameters = version / MODEL_FILE
    batching = Batching(parameters.read_text("utf-8")) if parameters.exists() else Batching()
    largest = batching.max_batch_size
    clients = largest * (batching.threads + 1)

    before = _direct(version, images, largest, args.seconds / 2)
    with ServerProcess(args.model_base_path) as server:
        served = asyncio.run(_served(server.address, images, clients, args.seconds))
    after = _direct(version, images, largest, args.seconds / 2)
    direct = (before + after) / 2
    ratio = served / direct
    print(f"direct {direct:.1f} images/s, served {served:.1f} images/s, ratio {ratio:.2f}")
    with ServerProcess(args.model_base_path) as server:
        _overload(server, images, 2 * served, args.seconds)
        _steady_load(server, images, 0.7 * served, int(args.minutes))


def _newest_version(folder):
    versions = [path for path in Path(folder).iterdir() if path.name.isdecimal()]
    return max(versions, key=lambda path: int(path.name))


def _direct(version, images, batch, seconds):
    """Images per second of the SavedModel."""
    function = tf.saved_model.load(str(version)).signatures["serving_default"]
    turn = itertools.cycle(images)

    def call():
        function(image_bytes=tf.constant(list(itertools.islice(turn, batch))))

    call()
    done = 0
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        call()
        done += batch
    return done / (time.monotonic() - start)


async def _served(address, images, clients, seconds):
    """Images per second that some clients get together, each of which sends one after the other."""
    turn = itertools.cycle(images)
    spec = messages.model_spec("captioner")
    done = 0

    async def client(stub):
        nonlocal done
        while time.monotonic() < end:
            inputs = {"image_bytes": [next(turn)]}
            await stub.Predict(messages.predict_request(spec, "serving_default", inputs))
            done += 1

    async with grpc.aio.insecure_channel(address) as channel:
        stub = messages.PredictionServiceStub(channel)
        start = time.monotonic()
        end = start + seconds
        await asyncio.gather(*(client(stub) for _ in range(clients)))
        return done / (time.monotonic() - start)


def _overload(server, images, rate, seconds):
    """Prints how the server answers more requests than it can bear."""
    answers = _load(server, images, rate, seconds)
    print(f"at twice the load: {load_test.summary(answers, 1)}")
    refused = sorted(answer.took for answer in answers if answer.status == "UNAVAILABLE")
    if refused:
        print(f"refused after, median: {1000 * refused[len(refused) // 2]:.1f} ms")


def _steady_load(server, images, rate, minutes):
    """Prints the server's answers and memory, minute by minute."""
    memory = []
    for minute in range(1, minutes + 1):
        answers = _load(server, images, rate, 60)
        memory.append(_megabytes(server))
        summary = load_test.summary(answers, 1)
        print(f"minute {minute}: {memory[-1]:.0f} MB, {summary}", flush=True)
    if len(memory) > 1:
        growth = memory[-1] - memory[0]
        print(f"memory grew by {growth:.1f} MB from minute 1 to minute {len(memory)}")


def _load(server, images, rate, seconds):
    options = {
        "server": server.address,
        "model": "captioner",
        "label": None,
        "root_certificates": None,
        "token": None,
    }
    load = load_test.load(images, rate, seconds, batch=1, seed=1, deadline=60, **options)
    return asyncio.run(load)


def _megabytes(server):
    """The server's resident memory."""
    with urllib.request.urlopen(server.metrics) as page:
        text = page.read().decode()
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.M)
    return float(found.group(1)) / 2**20


if __name__ == "__main__":
    main()
