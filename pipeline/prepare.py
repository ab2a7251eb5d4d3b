"""keras-sat prepare --dataset scenes --output data/scenes [any Beam option]

From a corpus to a prepared data set: {train,val,test}-*.tfrecord, vocabulary.txt, encoder.keras,
manifest.json, statistics.json, failures-*.jsonl and, last, COMPLETED. The same command resumes an
interrupted job.
"""

import dataclasses
import re

from keras_sat import config as configuration
from keras_sat.cli.arguments import command_parser
from keras_sat.utils.errors import command

# The keys of `prepare` that have a flag of their own, and what the flag's help says.
FLAGS = {
    "dataset": "the corpus' format; by default `auto`, which looks at --source",
    "source": "the corpus' folder or file, or tfds:NAME or hf:NAME; for scenes, how many, such as "
    "train=3000,val=300,test=300",
    "images": "a second folder in which the pictures are looked for",
    "encoder.name": "scenes_cnn, a CNN of keras.applications, hf:DIR, or keras:FILE",
    "encoder.layer": "the layer whose output is stored",
    "encoder.weights": "imagenet, none or a file",
    "encoder.image_size": "height and width of the CNN's input in pixels",
    "encoder.quantisation": "uint8 or float16",
    "encoder.scale": "the range of values that keras:FILE takes: 0..255, 0..1 or --scale=-1..1",
    "seed": "of all randomness",
}
# The settings that any corpus but scenes starts from.
PHOTOGRAPHS = "photos_soft"
COUNTS = re.compile(r"(train|val|test)=")  # the source of scenes
NUMBERS = ("encoder.image_size", "seed")


def add_flags(parser):
    """Adds the flag of each key in FLAGS: --encoder for encoder.name, --layer for encoder.layer."""
    for key, text in FLAGS.items():
        name = key.removesuffix(".name").removeprefix("encoder.").replace("_", "-")
        if key in NUMBERS:
            parser.add_argument(f"--{name}", dest=key, metavar="N", type=int, help=text)
        else:
            parser.add_argument(f"--{name}", dest=key, metavar="X", help=text)


@command
def main(arguments=None):
    parser = command_parser("pipeline.prepare", __doc__, epilog="Any other option goes to Beam.")
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="the folder to make, such as data/scenes"
    )
    parser.add_argument(
        "--config",
        metavar="NAME",
        help="the experiment whose `prepare` section is the start",
    )
    add_flags(parser)
    parser.add_argument(
        "--allow-outside",
        action="store_true",
        help="read pictures outside of --source and --images, if the corpus names them",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other key of `prepare`"
    )
    args, beam_flags = parser.parse_known_args(arguments)
    overrides = []
    for key in FLAGS:
        value = getattr(args, key)
        if value is not None:
            overrides.append((f"prepare.{key}", value))
    if args.allow_outside:
        overrides.append(("prepare.allow_outside", True))
    overrides += [f"prepare.{text}" for text in args.set]
    config = configuration.load(args.config, overrides).prepare
    built_in = config.dataset == "scenes" and bool(COUNTS.match(config.source))
    if args.config is None and args.dataset != "scenes" and not built_in:
        print(f"settings: the `prepare` section of {PHOTOGRAPHS}", flush=True)
        if getattr(args, "encoder.name"):
            overrides.insert(0, ("prepare.encoder", {}))  # its layer is that of the preset's CNN
        config = configuration.load(PHOTOGRAPHS, overrides).prepare
    elif config.dataset == "scenes" and args.dataset is None and not built_in:
        config = dataclasses.replace(config, dataset="auto")

    from pipeline.preparation.prepare import prepare

    prepare(config, args.output, beam_flags)


if __name__ == "__main__":
    main()
