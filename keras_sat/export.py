"""keras-sat export --run runs/scenes_soft --output serving/models/scenes

Writes the next version of a model for TensorFlow Serving: a SavedModel that takes encoded pictures
and gives captions, with its vocabulary, warm-up requests, batching parameters and a model card.
Several --run caption together, as an ensemble.
"""

import dataclasses

from keras_sat.cli.arguments import add_runs, command_parser, with_decoding
from keras_sat.exporting.versions import Batching
from keras_sat.pictures.formats import MAX_PIXELS
from keras_sat.runs.ensemble import open_runs
from keras_sat.utils.errors import command


@command
def main(arguments=None):
    parser = command_parser("keras_sat.export", __doc__)
    add_runs(parser, "several caption together, as an ensemble")
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="the model's folder, such as serving/models/NAME",
    )
    for field in dataclasses.fields(Batching):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=int,
            default=field.default,
            metavar="N",
            help="of requests (default: %(default)s)",
        )
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help="larger pictures are refused (default: %(default)s)",
    )
    args = parser.parse_args(arguments)
    sizes = {field.name: getattr(args, field.name) for field in dataclasses.fields(Batching)}
    batching = Batching(**sizes)
    run = with_decoding(open_runs(args.run), args)

    from keras_sat.exporting.saved_model import export

    print(export(run, args.output, batching, args.max_pixels))


if __name__ == "__main__":
    main()
