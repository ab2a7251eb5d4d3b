"""python -m serving.load_test picture.jpg folder/ --rate 20 --seconds 30 --output load

Open-loop load: requests are sent at random moments (a Poisson process) at the given rate, whether
or not earlier ones have been answered, and none is repeated. Latency counts from the moment a
request was due. Prints a table, and writes NAME.json and a plot, NAME.png.
"""

import argparse
import asyncio
import json
from pathlib import Path

from keras_sat.pictures.reading import list_pictures, read_picture
from keras_sat.utils.errors import UserError
from serving.client import connection


def main(arguments=None):
    parser = _parser()
    args = parser.parse_args(arguments)
    if min(args.rate, args.seconds, args.batch) <= 0:
        parser.error("--rate, --seconds and --batch must be above 0")
    try:
        images = _read_images(args)
        server_options = connection.from_options(args)
    except (UserError, ValueError) as error:
        parser.exit(2, f"error: {error}\n")

    from serving.client.load import load, plot, summary

    outcomes = asyncio.run(
        load(images, args.rate, args.seconds, args.batch, args.seed, **server_options)
    )
    report = summary(outcomes, args.batch)
    for name, value in report.items():
        print(f"{name:22} {value}")
    if args.output:
        Path(f"{args.output}.json").write_text(json.dumps(report, indent=1) + "\n")
        plot(outcomes, f"{args.output}.png")


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m serving.load_test", description=__doc__.split("\n\n", 1)[1]
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="files, folders or URLs to send, over and over"
    )
    parser.add_argument(
        "--rate", type=float, required=True, metavar="R", help="requests per second"
    )
    parser.add_argument("--seconds", type=float, default=30, metavar="S", help="(%(default)s)")
    parser.add_argument(
        "--batch", type=int, default=1, metavar="N", help="images per request (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the moments (%(default)s)")
    parser.add_argument(
        "--max-megabytes", type=int, default=32, metavar="MB", help="of an image (%(default)s)"
    )
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.png")
    connection.add_options(parser)
    return parser


def _read_images(args):
    max_bytes = args.max_megabytes << 20
    return [read_picture(name, max_bytes) for name in list_pictures(args.images)]


if __name__ == "__main__":
    main()
