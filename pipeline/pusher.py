"""python -m pipeline.pusher --run runs/scenes_soft --push serving/models/scenes_soft

Pusher: moves the version that the InfraValidator staged into the model's folder, by one rename, if
the Evaluator has blessed the model as well. A server of that folder then loads it.
"""

from keras_sat.cli.blessing_arguments import blessing_parser, run_to_push
from keras_sat.utils.errors import command


@command
def main(arguments=None):
    run = run_to_push(blessing_parser("pusher", __doc__).parse_args(arguments))

    from pipeline.blessing.pusher import push

    print(push(run))


if __name__ == "__main__":
    main()
