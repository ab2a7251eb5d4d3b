"""python -m keras_sat.caption --run runs/scenes_soft picture.jpg other.png --overlay where.png

Captions image files with a trained run. --overlay also draws where the captioner looked, one panel a word; with several
images each gets a file of its own (where-1.png, where-2.png, …).
"""

import argparse
import sys
from pathlib import Path

from keras_sat.runs import ensemble as ensembles
from keras_sat.utils.errors import UserError, command
from keras_sat.utils.files import atomic

_BATCH = 32


def caption_files(run, paths, explain=False):
    """Captions image files.

    Args:
        run: a `keras_sat.runs.run.Run`. paths: image files. explain: go through the captions once more, for what
            `explain_captions` tells of them.
    Returns:
        ([(path, picture uint8 [H, W, 3] to draw on, `Captioned`, what is told of it)],
        [`UserError` of each file that is no picture]).
    """
    import numpy as np
    import tensorflow as tf

    from keras_sat.decoding.captioned import explain_captions, to_captions
    from keras_sat.decoding.search import caption_function
    from keras_sat.encoder.inputs import PICTURES, picture_inputs, shown_picture

    encoder, proposals = run.facts["encoder"], run.facts["proposals"]
    names = list(dict.fromkeys(PICTURES.get(name, name) for name in run.inputs))
    pictures, inputs, errors = [], [], []
    for path in paths:
        try:
            encoded = tf.io.read_file(str(path))
            inputs.append(picture_inputs(encoded, names, encoder, proposals))
            pictures.append((path, shown_picture(encoded, encoder)))
        except tf.errors.NotFoundError:
            errors.append(UserError(f"{path}: no such file"))
        except tf.errors.OpError:
            errors.append(
                UserError(f"{path}: not a picture that can be read (JPEG, PNG, GIF or BMP)")
            )
        except UserError as error:
            errors.append(UserError(f"{path}: {error}"))
    if not pictures:
        return [], errors
    model, vocabulary = run.captioner(), run.vocabulary()
    generate = caption_function(model, run.experiment.decoding)
    captioned, facts = [], []
    for first in range(0, len(pictures), _BATCH):
        batch = inputs[first : first + _BATCH]
        stacked = run.features({name: np.stack([each[name] for each in batch]) for name in names})
        ids = [str(path) for path, _ in pictures[first : first + _BATCH]]
        captioned += to_captions(ids, generate(stacked), vocabulary)
        facts += (
            explain_captions(model, stacked, captioned[first:], vocabulary)
            if explain
            else [{}] * len(ids)
        )
    return [(*picture, *each) for picture, *each in zip(pictures, captioned, facts)], errors


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m keras_sat.caption", description=__doc__.split("\n\n")[1]
    )
    ensembles.add_arguments(parser, "several caption together, as an ensemble")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="JPEG, PNG, GIF or BMP files")
    parser.add_argument("--overlay", metavar="PNG", help="draw where the captioner looked")
    args = parser.parse_args(arguments)
    run = ensembles.with_arguments(ensembles.open_runs(args.run), args)
    captioned, errors = caption_files(run, args.images, explain=bool(args.overlay))
    for path, picture, each, facts in captioned:
        print(f"{path}\t{each.caption}")
        if args.overlay:
            target = Path(args.overlay)
            if len(args.images) > 1:
                target = target.with_stem(f"{target.stem}-{1 + args.images.index(path)}")
            save_overlay(target, picture, each, facts)
            print(target)
    for error in errors[:-1]:
        print(f"error: {error}", file=sys.stderr)
    if errors:
        raise errors[-1]


def save_overlay(path, picture, captioned, facts):
    """Draws a `Captioned`, and what `explain_captions` tells of it, to a PNG file."""
    from keras_sat.visualize.attention import attention_overlay, to_png

    figure = attention_overlay(
        picture, captioned.words, captioned.attention, captioned.boxes, facts
    )
    with atomic(path) as temporary:
        temporary.write_bytes(to_png(figure, dpi=100))


if __name__ == "__main__":
    main()
