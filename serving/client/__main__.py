"""python -m serving.client picture.jpg folder/ https://example.org/picture.png --server localhost:8500

Captions files, the pictures in folders, URLs, and - for standard input: a line an image, or --json. --overlay also draws
where the captioner looked; with several images each gets a file of its own (where-1.png, where-2.png, …).
"""

import argparse
import io
import json
import sys
from pathlib import Path

from serving.client import connection
from serving.client.pictures import list_pictures, read_picture


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m serving.client", description=__doc__.split("\n\n", 1)[1]
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a file, a folder, a URL, or - for standard input",
    )
    parser.add_argument("--json", action="store_true", help="print an object a line")
    parser.add_argument(
        "--overlay", metavar="PNG", help="draw where the captioner looked (needs keras_sat)"
    )
    parser.add_argument(
        "--boxes",
        metavar="JSONL",
        help='object proposals: {"id": IMAGE, "boxes": [[ymin, xmin, ymax, xmax], …]}',
    )
    parser.add_argument(
        "--batch", type=int, default=16, metavar="N", help="images a request (%(default)s)"
    )
    parser.add_argument(
        "--max-megabytes",
        type=int,
        default=32,
        metavar="MB",
        help="of an image, and of a request (%(default)s)",
    )
    connection.add_options(parser)
    args = parser.parse_args(arguments)
    try:
        failed = [
            _show(number, *found, args) for number, found in enumerate(_captioned(args), 1)
        ].count(False)
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "interrupted\n")
    parser.exit(2 if failed else 0)


def _captioned(args):
    """(name, image, answer, what went wrong) of every image, as the answers come in."""
    names = list(list_pictures(args.images))
    boxes = _read_boxes(args.boxes, names) if args.boxes else None
    if args.overlay:
        _drawing()
    import grpc

    from serving.client.client import CaptionClient

    with CaptionClient(
        **connection.from_options(args), batch=args.batch, megabytes=args.max_megabytes
    ) as client:
        ask = client.attend if args.overlay else client.caption
        for first in range(0, len(names), args.batch):
            images = []
            for name in names[first : first + args.batch]:
                try:
                    images.append((name, read_picture(name, args.max_megabytes << 20)))
                except ValueError as error:
                    yield name, None, None, str(error)
            try:
                answers = ask(
                    [image for _, image in images], boxes and [boxes[name] for name, _ in images]
                )
            except grpc.RpcError as error:
                raise ValueError(
                    f"{args.server}: {error.code().name}: {error.details()}"
                ) from error
            for (name, image), answer in zip(images, answers):
                yield (
                    name,
                    image,
                    answer,
                    "" if answer.status == "OK" else f"{name}: {answer.status}",
                )


def _show(number, name, image, answer, problem, args):
    """Prints, and draws if asked to; whether there was a caption."""
    if args.json:
        fields = {
            key: getattr(value, "tolist", lambda v=value: v)()
            for key, value in (answer._asdict() if answer else {}).items()
        }
        print(json.dumps({"image": name, "status": problem, **fields}), flush=True)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return False
    if not args.json:
        print(f"{name}\t{answer.captions[0] if args.overlay else answer.caption}", flush=True)
    if args.overlay:
        attention_overlay, to_png = _drawing()
        path = Path(args.overlay)
        if len(args.images) > 1 or Path(args.images[0]).is_dir():
            path = path.with_stem(f"{path.stem}-{number}")
        path.write_bytes(
            to_png(
                attention_overlay(_pixels(image), answer.words, answer.attention, answer.boxes),
                dpi=100,
            )
        )
    return True


def _drawing():
    """keras_sat's drawing, of which the rest of the client has no need."""
    try:
        from keras_sat.visualize.attention import attention_overlay, to_png
    except ImportError as error:
        raise ValueError(
            f"--overlay: draws with keras_sat, which does not import here: {error}"
        ) from error
    return attention_overlay, to_png


def _pixels(image):
    """uint8 [H, W, 3], upright, as the captioner has seen it."""
    import numpy as np
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(image))).convert("RGB"))


def _read_boxes(path, names):
    """{id: float32 [m, 4]}, of all the names."""
    import numpy as np

    try:
        lines = [
            json.loads(line) for line in Path(path).read_text("utf-8").splitlines() if line.strip()
        ]
        found = {line["id"]: np.array(line["boxes"], np.float32).reshape(-1, 4) for line in lines}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a line an image with its id and boxes: {error}") from error
    if missing := [name for name in names if name not in found]:
        raise ValueError(
            f"{path}: no boxes of {missing[0]}; ids must be as the images are named here"
        )
    return found


if __name__ == "__main__":
    main()
