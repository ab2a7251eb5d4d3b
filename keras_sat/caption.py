"""keras-sat caption --run runs/scenes_soft picture.jpg photos/ --overlay where.png

Captions pictures with a trained run: files, folders, patterns
such as 'photos/**/*.jpg', http(s) URLs, and, for -, standard input. JPEG, PNG, GIF, BMP, WebP, TIFF
and AVIF are read, and HEIC with the extra keras_sat[heic]; pictures of 16 bits per channel or in
CMYK are converted to RGB of 8 bits. --overlay also draws where the captioner looked, one panel per
word: to a file, numbered if there are several pictures, or to one file per picture in a folder.
"""

import sys

from keras_sat.cli.arguments import add_runs, command_parser, with_decoding
from keras_sat.pictures.reading import list_pictures, unreadable
from keras_sat.pictures.results import Result, add_arguments, overlay_files, show
from keras_sat.runs.ensemble import open_runs
from keras_sat.utils.errors import command


@command
def main(arguments=None):
    parser = command_parser("keras_sat.caption", __doc__)
    add_runs(parser, "several caption together, as an ensemble")
    add_arguments(parser)
    args = parser.parse_args(arguments)
    names = list_pictures(args.images)
    overlays = overlay_files(args.overlay, names) if args.overlay else {}
    run = with_decoding(open_runs(args.run), args)
    faults = unreadable(names)
    missing = [Result(name, problem=str(fault)) for name, fault in faults.items()]
    failures = show(missing, as_json=args.json)
    names = [name for name in names if name not in faults]
    if names:
        from keras_sat.api.trained import TrainedCaptioner
        from keras_sat.cli.pictures import caption_results

        results = caption_results(TrainedCaptioner(run), names, overlays)
        failures += show(results, as_json=args.json)
    if failures:
        sys.exit(2)


if __name__ == "__main__":
    main()
