"""A run's checkpoints: the model, the optimizer, the metrics' sums and the progress."""

import dataclasses
import json
from dataclasses import dataclass

import tensorflow as tf


@dataclass
class Progress:
    """How far training came.

    Attributes:
        vocabulary: its fingerprint.
        commit: of the code that trained last, see `keras_sat.utils.version`.
        workers: how many processes trained (0: none yet).
        teachers: their fingerprints.
        epoch: epochs that are complete.
        batch: batches done of the epoch after them.
        best: the best score so far of `train.select_by`, None before the first epoch ends.
        best_epoch: the epoch that reached it.
        waited: epochs since then.
        seconds: of training, validation included.
    """

    vocabulary: str = ""
    commit: str = ""
    workers: int = 0
    teachers: list[str] = dataclasses.field(default_factory=list)
    epoch: int = 0
    batch: int = 0
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0
    seconds: float = 0.0


class _SavedProgress(tf.train.experimental.PythonState):
    """A `Progress` inside a checkpoint, so that it never disagrees with the weights there."""

    def __init__(self, progress):
        self.progress = progress

    def serialize(self):
        return json.dumps(dataclasses.asdict(self.progress))

    def deserialize(self, text):
        self.progress.__dict__.update(json.loads(text))


class Checkpoints:
    """checkpoints/last (all that resuming needs) and checkpoints/best (the model and the progress).

    Args:
        folder: the run's `checkpoints`.
        model: a compiled `Captioner`.
        progress: a `Progress`, which `restore` updates.
    """

    def __init__(self, folder, model, progress):
        saved = _SavedProgress(progress)
        optimizer = model.training_step.optimizer
        self._iterations = optimizer.iterations
        everything = tf.train.Checkpoint(
            model=model, optimizer=optimizer, meters=model.metrics, progress=saved
        )
        self._last = tf.train.CheckpointManager(everything, str(folder / "last"), max_to_keep=1)
        best = tf.train.Checkpoint(model=model, progress=saved)
        self._best = tf.train.CheckpointManager(best, str(folder / "best"), max_to_keep=1)

    # Numbered by their updates: a resumed process must not overwrite the one that it starts from.

    def save_last(self):
        self._last.save(checkpoint_number=int(self._iterations.numpy()))

    def save_best(self):
        self._best.save(checkpoint_number=int(self._iterations.numpy()))

    def restore(self, folder):
        """Restores the last checkpoint of a run.

        Args:
            folder: the run's `checkpoints`.

        Returns:
            Whether there was one.
        """
        path = tf.train.latest_checkpoint(str(folder / "last"))
        if path:
            self._last.checkpoint.restore(path)
        return path is not None


def read_progress(path):
    """The `Progress` in a checkpoint."""
    progress = Progress()
    tf.train.Checkpoint(progress=_SavedProgress(progress)).restore(path).expect_partial()
    return progress
