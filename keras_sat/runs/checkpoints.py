"""What a run saves: the model, the optimiser, the metrics' sums and how far it came, in one TensorFlow checkpoint."""

import dataclasses
import json
from dataclasses import dataclass

import tensorflow as tf


@dataclass
class Progress:
    """How far training came. `epoch` epochs are done and `batch` batches of the next; `waited` epochs without gain.

    `commit`: of the code that trained last, see `keras_sat.utils.version`. `workers`: how many trained (0: none yet). `teachers`:
    their fingerprints.
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
    """A `Progress` inside a checkpoint, so that it can never disagree with the weights beside it."""

    def __init__(self, progress):
        self.progress = progress

    def serialize(self):
        return json.dumps(dataclasses.asdict(self.progress))

    def deserialize(self, text):
        self.progress.__dict__.update(json.loads(text))


class Checkpoints:
    """checkpoints/last (all that resuming needs) and checkpoints/best (the model).

    Args:
        folder: the run's `checkpoints`. model: prepared for training. progress: a `Progress`, kept up to date by `restore`.
    """

    def __init__(self, folder, model, progress):
        saved, optimizer = _SavedProgress(progress), model.training.optimizer
        self._iterations = optimizer.iterations
        everything = tf.train.Checkpoint(
            model=model, optimizer=optimizer, meters=model.metrics, progress=saved
        )
        self._last = tf.train.CheckpointManager(everything, str(folder / "last"), max_to_keep=1)
        best = tf.train.Checkpoint(model=model, progress=saved)
        self._best = tf.train.CheckpointManager(best, str(folder / "best"), max_to_keep=1)

    # Numbered by what they hold: a resumed process must not write over the one that it has.

    def save_last(self):
        self._last.save(checkpoint_number=int(self._iterations.numpy()))

    def save_best(self):
        self._best.save(checkpoint_number=int(self._iterations.numpy()))

    def restore(self, folder):
        """Goes back to the last checkpoint in the `checkpoints` of a run, if there is one; returns whether there was."""
        path = tf.train.latest_checkpoint(str(folder / "last"))
        if path:
            self._last.checkpoint.restore(path)
        return path is not None


def read_progress(path):
    """The `Progress` in a checkpoint."""
    progress = Progress()
    tf.train.Checkpoint(progress=_SavedProgress(progress)).restore(path).expect_partial()
    return progress
