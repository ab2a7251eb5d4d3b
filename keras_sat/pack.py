"""keras-sat pack runs/scenes_soft --output scenes_soft.ksat

Packs a trained run into one file: its configuration, vocabulary, CNN, best checkpoint, scores and a
card that describes it, each with its hash. Whatever takes a run takes the file in its place. It is
a plain zip and holds no code.
"""

from keras_sat.cli.arguments import command_parser
from keras_sat.runs.run import open_run
from keras_sat.utils.errors import command


@command
def main(arguments=None):
    parser = command_parser("keras_sat.pack", __doc__)
    parser.add_argument("run", metavar="RUN", help="a trained run")
    parser.add_argument("--output", metavar="FILE", help="(default: RUN.ksat, beside the run)")
    args = parser.parse_args(arguments)
    run = open_run(args.run)

    from keras_sat.exporting.packing import pack

    print(pack(run, args.output))


if __name__ == "__main__":
    main()
