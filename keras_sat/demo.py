"""python -m keras_sat.demo

From nothing to captions with attention, in one process: prepares scenes, trains soft attention and, for comparison, the
same model without attention (it sees the mean annotation only), evaluates both on the test split, draws pictures.
"""

import argparse
import time
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.utils.errors import command

TITLES = {"scenes_soft": "soft attention", "scenes_mean": "mean annotation only"}
PICTURES = 12


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m keras_sat.demo", description=__doc__.split("\n\n")[1]
    )
    parser.add_argument(
        "--output", default="demo", metavar="DIR", help="where everything goes (default: demo)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="such as train.epochs=2"
    )
    args = parser.parse_args(arguments)
    started, output = time.monotonic(), Path(args.output)
    overrides = [("data.path", f"{output}/scenes"), *args.set]
    experiments = {
        name: configuration.load(configuration.CONFIGS / f"{name}.yaml", overrides)
        for name in TITLES
    }

    from keras_sat.compare import compare
    from keras_sat.evaluation.report import table

    compared = list(compare(experiments, output / "runs"))
    scores = table({TITLES[run.folder.name]: evaluation for run, evaluation in compared})
    (output / "scores.md").write_text(scores + "\n", encoding="utf-8")
    pictures = draw(compared[0][0], output / "pictures")
    print(f"\nscenes, test split, percent, 95% confidence intervals\n\n{scores}\n")
    print(f"Where the captioner looks: {pictures[0]} and {len(pictures) - 1} more beside it")
    print(f"Scores: {output}/scores.md   TensorBoard: tensorboard --logdir {output}/runs")
    print(f"Everything took {(time.monotonic() - started) / 60:.1f} minutes")


def draw(run, folder):
    """Captions test pictures from their files, as a user's, and draws the attention; returns the overlays' paths."""
    from keras_sat.caption import caption_files, save_overlay
    from keras_sat.data.reading import read_records

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for record in read_records(run.data(), "test", PICTURES):
        paths.append(folder / f"{record.source_id}.png")
        paths[-1].write_bytes(record.encoded)
    overlays = []
    for path, picture, captioned, facts in caption_files(run, paths, explain=True)[0]:
        overlays.append(path.with_stem(path.stem + "-attention"))
        save_overlay(overlays[-1], picture, captioned, facts)
    return overlays


if __name__ == "__main__":
    main()
