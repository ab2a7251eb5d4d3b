"""python -m serving.load_test picture.jpg folder/ --rate 20 --seconds 30 --output load

Open-loop load: requests leave at random moments (a Poisson process) of the given rate, whether earlier ones are answered or
not, and nothing is asked twice. Latency counts from the moment a request was due. Prints a table, and writes NAME.json and a
plot, NAME.png.
"""

import argparse
import asyncio
import collections
import dataclasses
import itertools
import json
import random
import time
from pathlib import Path

from serving.client import connection
from serving.client.pictures import list_pictures, read_picture


@dataclasses.dataclass
class Answer:
    """Seconds: when it was `due`, after the start; how `late` it was sent; how long it `took` from due to answered.

    status: gRPC's, or OK_WITHOUT_CAPTION where the model could not read an image.
    """

    due: float
    late: float
    took: float
    status: str


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m serving.load_test", description=__doc__.split("\n\n", 1)[1]
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="files, folders or URLs to send, over and over"
    )
    parser.add_argument("--rate", type=float, required=True, metavar="R", help="requests a second")
    parser.add_argument("--seconds", type=float, default=30, metavar="S", help="(%(default)s)")
    parser.add_argument(
        "--batch", type=int, default=1, metavar="N", help="images a request (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the moments (%(default)s)")
    parser.add_argument(
        "--max-megabytes", type=int, default=32, metavar="MB", help="of an image (%(default)s)"
    )
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.png")
    connection.add_options(parser)
    args = parser.parse_args(arguments)
    if min(args.rate, args.seconds, args.batch) <= 0:
        parser.error("--rate, --seconds and --batch must be above 0")
    try:
        images = [
            read_picture(name, args.max_megabytes << 20) for name in list_pictures(args.images)
        ]
        settings = connection.from_options(args)
        if not images:
            raise ValueError(f"{args.images[0]}: holds no pictures")
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    answers = asyncio.run(load(images, args.rate, args.seconds, args.batch, args.seed, **settings))
    report = summary(answers, args.batch)
    for name, value in report.items():
        print(f"{name:22} {value}")
    if args.output:
        Path(f"{args.output}.json").write_text(json.dumps(report, indent=1) + "\n")
        plot(answers, f"{args.output}.png")


async def load(
    images, rate, seconds, batch, seed, server, model, label, deadline, root_certificates, token
):
    """Asks for captions at random moments, `rate` times a second on average, for so many seconds.

    Args:
        images: bytes, sent in turn, `batch` a request. seed: of the moments. The rest as `CaptionClient`'s.
    Returns:
        An `Answer` a request.
    """
    import grpc

    from serving.client import messages
    from serving.client.client import open_channel, token_metadata

    chance, spec, turn = (
        random.Random(seed),
        messages.model_spec(model, label=label),
        itertools.cycle(images),
    )
    moments = itertools.accumulate(chance.expovariate(rate) for _ in itertools.count())

    async def ask(stub, request, due):
        sent = time.monotonic()
        try:
            response = await stub.Predict(request, timeout=deadline, metadata=token_metadata(token))
            captioned = all(row["status"] == b"OK" for row in messages.rows(response))
            status = "OK" if captioned else "OK_WITHOUT_CAPTION"
        except grpc.RpcError as error:
            status = error.code().name
        return Answer(due - start, sent - due, time.monotonic() - due, status)

    async with open_channel(server, root_certificates, grpc.aio) as channel:
        stub, tasks, start = messages.PredictionServiceStub(channel), [], time.monotonic()
        for moment in itertools.takewhile(lambda moment: moment < seconds, moments):
            request = messages.predict_request(
                spec, "serving_default", {"image_bytes": list(itertools.islice(turn, batch))}
            )
            await asyncio.sleep(start + moment - time.monotonic())
            tasks.append(asyncio.create_task(ask(stub, request, start + moment)))
        return await asyncio.gather(*tasks)


def summary(answers, batch):
    """{figure: value}; rates a second, latencies in milliseconds and of what got captions."""
    import numpy as np

    def percentile(seconds, percent):
        return round(1000 * float(np.percentile(seconds, percent)), 1) if seconds else None

    took = [answer.took for answer in answers if answer.status == "OK"]
    wall = max((answer.due + answer.took for answer in answers), default=1)
    return {
        "requests": len(answers),
        "by status": dict(collections.Counter(answer.status for answer in answers)),
        "images a second": round(len(took) * batch / wall, 2),
        **{f"latency p{percent}, ms": percentile(took, percent) for percent in (50, 95, 99)},
        "sent late p99, ms": percentile([answer.late for answer in answers], 99),
    }


def plot(answers, path):
    """Draws each request's latency over the time when it was due, by status."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axis = figure.subplots()
    for status in sorted({answer.status for answer in answers}):
        chosen = [answer for answer in answers if answer.status == status]
        axis.plot(
            [each.due for each in chosen],
            [1000 * each.took for each in chosen],
            ".",
            label=f"{status} ({len(chosen)})",
        )
    axis.set(xlabel="due, seconds", ylabel="latency, ms", yscale="log")
    axis.legend()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
