"""What is said where the loss or the weights are no longer finite numbers."""

import numpy as np

from keras_sat.models.losses import word_log_probs
from keras_sat.utils.errors import UserError

_SHOWN = 5  # images that a message names


def diverged(run, place, images, resumed):
    """The error of a training whose loss or weights are not finite.

    Args:
        run: the `Run`.
        place: where that began: the epoch, the batch and the update, in words.
        images: the source ids of that batch, if they are known.
        resumed: the `Progress` in the checkpoint to resume from; None if there is none.

    Returns:
        A `UserError`.
    """
    config = run.experiment.train
    clip_norm = config.clip_norm or "off"
    after = _listed(images) or "it"
    then = "it starts anew"
    if resumed:
        then = f"it resumes in epoch {resumed.epoch + 1} after {resumed.batch} batches"
    return UserError(
        f"{run.folder}: training diverged {place}: the loss or the weights are not finite after "
        f"{after}; nothing of it is saved. With a lower --set train.learning_rate "
        f"(now {config.learning_rate:g}) or train.clip_norm (now {clip_norm}) {then}"
    )


def unique_ids(batch):
    """The different source ids of a batch, as a list of strings."""
    return list(dict.fromkeys(each.decode() for each in batch["source_id"].numpy()))


def without_likelihood(model, batches):
    """The images whose captions have no finite likelihood under a model.

    Args:
        model: a `Captioner`.
        batches: of `keras_sat.data.input_pipeline.training_batches`, with their source ids.

    Returns:
        A list of source ids.
    """
    found = []
    for batch in batches:
        log_probs, _ = model(batch)
        finite = np.isfinite(word_log_probs(log_probs, batch["captions"])).all(axis=(1, 2))
        names = batch["source_id"].numpy()[~finite]
        found += [name.decode() for name in names]
    return list(dict.fromkeys(found))


def no_gain(epoch, images):
    """The line about an epoch whose validation loss is not finite."""
    return (
        f"epoch {epoch}: the validation loss is not finite, because of "
        f"{_listed(images) or 'its sum'}; this epoch is no gain"
    )


def _listed(images):
    """The first of some source ids and the number of the others; empty if there are none."""
    if not images:
        return ""
    shown = ", ".join(images[:_SHOWN])
    more = len(images) - _SHOWN
    return f"images {shown} and {more} more" if more > 0 else f"images {shown}"
