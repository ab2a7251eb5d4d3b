"""keras-sat verify data/scenes runs/scenes_soft serving/models/scenes

Reads every file of prepared data sets, runs and exported models, and holds it against the hashes
that were recorded when it was written. Prints one line per fault; with a fault the exit code is 2.
"""

import sys

from keras_sat.cli.arguments import add_trust, command_parser
from keras_sat.utils.errors import command, printable


@command
def main(arguments=None):
    parser = command_parser("keras_sat.verify", __doc__)
    parser.add_argument(
        "folders", nargs="+", metavar="DIR", help="a data set, a run, or an exported model"
    )
    add_trust(parser)
    args = parser.parse_args(arguments)

    from keras_sat.exporting.verification import verify

    damaged = False
    for folder in args.folders:
        kind, faults = verify(folder, args.trust_encoder)
        damaged = damaged or bool(faults)
        for fault in faults:
            print(f"error: {printable(fault)}", file=sys.stderr)
        print(f"{folder}: {kind}, {len(faults)} faults" if faults else f"{folder}: {kind}, sound")
    sys.exit(2 if damaged else 0)


if __name__ == "__main__":
    main()
