"""python -m benchmarks.prepare --images 500 --config configs/xu_flickr8k_soft.yaml --set source=DIR

Images per second of the whole preparation beside the bare rate of decoding + CNN, in one run: a
loop over one half of the pictures, the job over all of them, the loop over the other half. The loop
is as fast as such a loop gets: tf.data reads and decodes on all cores ahead of the CNN. The time to
load the CNN is not counted in the loop, but is counted in the job.
"""

import argparse
import logging

from keras_sat import config as configuration
from keras_sat.utils.errors import command


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.prepare", description=__doc__.split("\n\n")[1]
    )
    parser.add_argument(
        "--config", metavar="YAML", help="an experiment whose `prepare` section is measured"
    )
    parser.add_argument(
        "--images", type=int, default=500, metavar="N", help="about so many (default: %(default)s)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any key of `prepare`"
    )
    args = parser.parse_args(arguments)
    config = configuration.load(args.config, [f"prepare.{text}" for text in args.set]).prepare
    # As in the job: Beam warns of what is not installed when it is imported.
    logging.getLogger().setLevel(logging.CRITICAL)
    from benchmarks.prepare_parts import measure

    images, seconds = measure(config, args.images)
    print(", ".join(f"{name} {wall:.1f} s" for name, (wall, _) in seconds.items()))
    loop = seconds.pop("loop")
    job = sum(seconds.values())
    ratio, by_processor = loop / job
    loop_rate = images / loop[0]
    job_rate = images / job[0]
    print(
        f"{images} images: loop {loop_rate:.2f} images/s, job {job_rate:.2f} images/s, "
        f"ratio {ratio:.2f}; by processor time, which other work on the machine changes less, "
        f"{by_processor:.2f}"
    )


if __name__ == "__main__":
    main()
