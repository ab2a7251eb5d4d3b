"""A run's checkpoints: the model, the optimizer, the metrics' sums and the progress.

Whatever is written is read back before an older checkpoint is deleted, and whatever is restored is
read to its last value before it is.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from keras_sat.runs import checkpoint_files
from keras_sat.runs.soundness import Damaged, check_sound, fault_in
from keras_sat.utils.errors import UserError


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
        settings: {setting: value} of those that may change when a run is resumed.
        changes: where they changed, [{"epoch", "batch", "settings": {setting: [before, after]}}].
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
    settings: dict = dataclasses.field(default_factory=dict)
    changes: list[dict] = dataclasses.field(default_factory=list)


class _SavedProgress(tf.train.experimental.PythonState):
    """A `Progress` inside a checkpoint, so that it never disagrees with the weights there."""

    def __init__(self, progress):
        self.progress = progress

    def serialize(self):
        return json.dumps(dataclasses.asdict(self.progress))

    def deserialize(self, text):
        self.progress.__dict__.update(json.loads(text))


class Restored(NamedTuple):
    """What `Checkpoints.restore` found.

    Attributes:
        path: of the checkpoint that was restored, None where the run has none yet.
        damaged: the `Damaged` that are newer than it, newest first.
        best: the best checkpoint if it is `Damaged`, else None.
    """

    path: Path | None = None
    damaged: tuple[Damaged, ...] = ()
    best: Damaged | None = None


class Checkpoints:
    """checkpoints/last (all that resuming needs) and checkpoints/best (the model and the progress).

    The last two are kept, and the best one.

    Attributes:
        any: whether there is one to resume from; the same for every worker.

    Args:
        folder: the run's `checkpoints`.
        model: a compiled `Captioner`.
        progress: a `Progress`, which `restore` updates.
    """

    def __init__(self, folder, model, progress):
        saved = _SavedProgress(progress)
        optimizer = model.training_step.optimizer
        self.any = False
        self._progress = progress
        self._iterations = optimizer.iterations
        everything = tf.train.Checkpoint(
            model=model, optimizer=optimizer, meters=model.metrics, progress=saved
        )
        best = tf.train.Checkpoint(model=model, progress=saved)
        self._last = _Kept(folder / "last", everything, count=2)
        self._best = _Kept(folder / "best", best, count=1)

    def progress_of_last(self):
        """The `Progress` in the newest of the last checkpoints, None if there is none."""
        path = checkpoint_files.newest(self._last.folder)
        return read_progress(path) if path else None

    def save_last(self):
        self._last.save(int(self._iterations.numpy()))
        self.any = True

    def save_best(self):
        self._best.save(int(self._iterations.numpy()))

    def restore(self, folder):
        """Restores the newest sound one of a run's last checkpoints.

        Args:
            folder: the run's `checkpoints`.

        Returns:
            `Restored`.

        Raises:
            UserError: none is sound, or one fits another model; or there is none though the run has
                been trained, in which case training must not start anew.
        """
        damaged = []
        for path in _candidates(folder / "last"):
            fault = fault_in(path)
            if fault is None:
                self._last.restore(path)
                self.any = True
                return Restored(path, tuple(damaged), self._fault_of_best(folder))
            damaged.append(Damaged(path, fault))
        _check_untrained(folder, damaged)
        return Restored()

    def _fault_of_best(self, folder):
        """The best checkpoint if the progress knows of one and it is `Damaged`, else None."""
        if not self._progress.best_epoch:
            return None
        path = checkpoint_files.newest(folder / "best")
        if path is None:
            return Damaged(folder / "best", "its files are missing")
        fault = fault_in(path)
        return Damaged(path, fault) if fault else None


class _Kept:
    """A folder of checkpoints, of which the newest ones are kept.

    Args:
        folder: where they are.
        checkpoint: a `tf.train.Checkpoint`.
        count: how many are kept.
    """

    def __init__(self, folder, checkpoint, count):
        self.folder = folder
        self.checkpoint = checkpoint
        self._count = count
        _ = checkpoint.save_counter  # creates the variable, which is part of the format

    def save(self, updates):
        """Writes a checkpoint, reads it back, and then deletes those that are too many.

        Args:
            updates: the number of updates so far, which becomes the checkpoint's number. If it is
                taken, the next free number is used: no file is ever overwritten, since a process
                that is killed meanwhile would leave half of each.

        Raises:
            UserError: what was written reads back otherwise.
        """
        before = checkpoint_files.found_in(self.folder)
        number = updates
        if before:
            number = max(updates, 1 + checkpoint_files.number_of(before[0]))
        path = self.folder / f"ckpt-{number}"
        self.checkpoint.write(str(path))
        fault = fault_in(path)
        if fault:
            checkpoint_files.keep_only(self.folder, before)
            raise UserError(
                f"{path}: was written, but {fault}; it is deleted, and the one before it is kept"
            )
        kept = [path, *before][: self._count]
        checkpoint_files.note(self.folder, kept)
        checkpoint_files.keep_only(self.folder, kept)

    def restore(self, path):
        """Restores all that the checkpoint object has.

        Raises:
            UserError: the checkpoint is another model's.
        """
        try:
            self.checkpoint.read(str(path)).assert_existing_objects_matched()
        except (ValueError, AssertionError) as error:
            raise UserError(f"{path}: does not fit the run's config.yaml ({error})") from error


def _candidates(folder):
    """The paths of a folder's checkpoints, newest first, with the noted one even if it is gone."""
    found = checkpoint_files.found_in(folder)
    noted = checkpoint_files.noted_in(folder)
    if noted and noted not in found:
        found.append(noted)
    return sorted(found, key=checkpoint_files.number_of, reverse=True)


def _check_untrained(folder, damaged):
    """Checks that a run without a sound last checkpoint was never trained.

    Raises:
        UserError: it was.
    """
    run = folder.parent
    best = checkpoint_files.newest(folder / "best")
    metrics = run / "metrics.jsonl"
    if damaged:
        lost = "; ".join(str(each) for each in damaged)
    elif best or (metrics.exists() and metrics.stat().st_size):
        lost = f"{run} has been trained, but {folder / 'last'} holds no checkpoint"
    else:
        return
    rest = f"start a new run from its best one with --set init_from={run}"
    if best is None or fault_in(best):
        rest = "choose another --run to train anew"
    raise UserError(f"{lost}; there is nothing to resume from: restore the files, or {rest}")


def read_progress(path):
    """The `Progress` in a checkpoint.

    Raises:
        UserError: the checkpoint is damaged.
    """
    check_sound(path)
    progress = Progress()
    tf.train.Checkpoint(progress=_SavedProgress(progress)).restore(str(path)).expect_partial()
    return progress
