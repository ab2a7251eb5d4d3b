"""python -m keras_sat.caption --run runs/scenes_soft picture.jpg other.png --overlay where.png

Captions image files with a trained run. --overlay also draws where the captioner looked, one panel
per word; with several images each gets a file of its own (where-1.png, where-2.png, …).
"""

import sys
from pathlib import Path

from keras_sat.cli.arguments import add_runs, command_parser, with_decoding
from keras_sat.runs.ensemble import open_runs
from keras_sat.utils.errors import command


@command
def main(arguments=None):
    parser = command_parser("keras_sat.caption", __doc__)
    add_runs(parser, "several caption together, as an ensemble")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="JPEG, PNG, GIF or BMP files")
    parser.add_argument("--overlay", metavar="PNG", help="draw where the captioner looked")
    args = parser.parse_args(arguments)
    run = with_decoding(open_runs(args.run), args)

    from keras_sat.runs.captioning import caption_files
    from keras_sat.visualize.attention import save_overlay

    captioned, errors = caption_files(run, args.images, explain=bool(args.overlay))
    for file in captioned:
        print(f"{file.path}\t{file.captioned.caption}")
        if args.overlay:
            target = Path(args.overlay)
            if len(args.images) > 1:
                number = 1 + args.images.index(file.path)
                target = target.with_stem(f"{target.stem}-{number}")
            save_overlay(target, file.picture, file.captioned, file.facts)
            print(target)
    for error in errors[:-1]:
        print(f"error: {error}", file=sys.stderr)
    if errors:
        raise errors[-1]


if __name__ == "__main__":
    main()
