"""keras-sat client picture.jpg folder/ --server localhost:8500

Captions files, the pictures in folders, patterns such as 'photos/**/*.jpg', URLs such as
https://example.org/picture.png, and, for -, standard input. Prints one line per image, or JSON with
--json. --overlay also draws where the captioner looked. With several images, each gets a file of
its own (where-1.png, where-2.png, …).
"""

import argparse

from keras_sat.pictures.reading import list_pictures
from keras_sat.pictures.results import add_arguments, overlay_files, show
from keras_sat.utils.errors import UserError
from serving.client import connection
from serving.client.boxes import read_boxes


def main(arguments=None):
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        if min(args.batch, args.max_megabytes) < 1:
            raise ValueError("--batch and --max-megabytes must be 1 or more")
        names = list_pictures(args.images)
        boxes = read_boxes(args.boxes, names) if args.boxes else None
        overlays = overlay_files(args.overlay, names) if args.overlay else None
        server_options = connection.from_options(args)

        from serving.client.captioning import caption_pictures
        from serving.client.overlay import drawing

        results = caption_pictures(
            names,
            boxes,
            server_options,
            args.batch,
            args.max_megabytes,
            drawing(overlays) if overlays else None,
        )
        failures = show(results, args.json)
    except (UserError, ValueError) as error:
        parser.exit(2, f"error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "interrupted\n")
    parser.exit(2 if failures else 0)


def _parser():
    parser = argparse.ArgumentParser(
        prog="keras-sat client", description=(__doc__ or "").split("\n\n", 1)[1]
    )
    add_arguments(parser)
    parser.add_argument(
        "--boxes",
        metavar="JSONL",
        help='object proposals: {"id": IMAGE, "boxes": [[ymin, xmin, ymax, xmax], …]}',
    )
    parser.add_argument(
        "--batch", type=int, default=16, metavar="N", help="images per request (%(default)s)"
    )
    parser.add_argument(
        "--max-megabytes",
        type=int,
        default=32,
        metavar="MB",
        help="of an image, and of a request (%(default)s)",
    )
    connection.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
