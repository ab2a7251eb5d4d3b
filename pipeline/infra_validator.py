"""python -m pipeline.infra_validator --run runs/scenes_soft --push serving/models/scenes_soft

InfraValidator: exports a trained run beside the model's folder, starts a server that captions
pictures over gRPC, and blesses the export if captions and scores are those of `keras-sat caption`.
The server ends with the command.
"""

from keras_sat.cli.blessing_arguments import blessing_parser, run_to_push
from keras_sat.utils.errors import command


@command
def main(arguments=None):
    run = run_to_push(blessing_parser("infra_validator", __doc__).parse_args(arguments))

    from pipeline.blessing.infra_validator import validate

    print(f"BLESSED: {validate(run)}")


if __name__ == "__main__":
    main()
