"""What is decided where training resumes: from which checkpoint, and with which settings."""

import json

import numpy as np

from keras_sat.runs.checkpoint_files import number_of, put_aside
from keras_sat.runs.run import open_run
from keras_sat.training.optimizers import learning_rate
from keras_sat.utils.errors import UserError
from keras_sat.utils.files import write_text


def tell_what_was_lost(run, restored, progress):
    """Moves damaged checkpoints aside, and says what is lost with them.

    Args:
        run: the `Run`.
        restored: what `Checkpoints.restore` returned.
        progress: the `Progress`, as it was restored.
    """
    aside = run.folder / "checkpoints" / "damaged"
    for each in restored.damaged:
        put_aside(each.path, aside)
    if restored.damaged:
        faults = "; ".join(str(each) for each in restored.damaged)
        updates = number_of(restored.damaged[0].path) - number_of(restored.path)
        print(
            f"{faults}; training resumes from {restored.path.name}, in epoch {progress.epoch + 1} "
            f"after {progress.batch} batches. Lost: {updates} updates, which are repeated. "
            f"The damaged files are in {aside}",
            flush=True,
        )
    if restored.best:
        put_aside(restored.best.path, aside)
        print(
            f"{restored.best}. Lost: the weights of epoch {progress.best_epoch}, the best so far; "
            "the next epoch's become the best",
            flush=True,
        )


def forget_best(progress):
    """Changes a `Progress` so that the next epoch's weights become the best ones."""
    progress.best = None
    progress.best_epoch = 0
    progress.waited = 0


def cut_metrics(path, epochs):
    """Drops the lines of metrics.jsonl that the checkpoint does not include.

    These epochs will be run again.

    Args:
        path: the file.
        epochs: how many epochs the checkpoint includes.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    # There is one line per epoch. An incomplete line can only come after these.
    kept = lines[:epochs]
    if len(kept) < epochs:
        print(f"{path}: lacks {epochs - len(kept)} of {epochs} epochs, which stay lost", flush=True)
    if lines:
        write_text(path, "".join(kept))


def check_workers(run, progress, count):
    """Checks that as many workers train as before, where they have files of their own.

    Args:
        run: the `Run`.
        progress: the `Progress`, which records the number.
        count: how many workers train now.

    Raises:
        UserError: there were more or fewer.
    """
    before = progress.workers
    if run.experiment.data.sharding == "files" and before not in (0, count):
        raise UserError(
            f"{run.folder}: data.sharding=files dealt the files out to {before} workers, "
            f"and now there are {count}; resume with {before}, or train a new run"
        )
    progress.workers = count


def check_teachers(run, progress):
    """Checks that the teachers are those that the run was started with.

    Args:
        run: the `Run`.
        progress: the `Progress`, which records them.

    Raises:
        UserError: they have changed.
    """
    before = progress.teachers
    now = [open_run(folder).fingerprint() for folder in run.experiment.train.teachers]
    if before not in ([], now):
        raise UserError(
            f"{run.folder}: its teachers have changed since it was started; "
            "restore their weights, or train a new run"
        )
    progress.teachers = now


def adopt_settings(run, progress, optimizer, steps_per_epoch):
    """Applies the settings that may change when a run resumes, and records their changes.

    Args:
        run: the `Run`.
        progress: the `Progress`, as it was restored; it records the changes.
        optimizer: a Keras optimizer, as it was restored.
        steps_per_epoch: updates per epoch.
    """
    config = run.experiment.train
    before = progress.settings
    now = {}
    changed = {}
    for name in ("learning_rate", "clip_norm", "accumulate"):
        now[name] = getattr(config, name)
        if before.get(name, now[name]) != now[name]:
            changed[name] = [before[name], now[name]]
    if changed:
        progress.changes.append(
            {"epoch": progress.epoch + 1, "batch": progress.batch, "settings": changed}
        )
    progress.settings = now
    rate = learning_rate(config, steps_per_epoch)
    if callable(rate):  # a function of the step alone
        return
    stored = optimizer.learning_rate
    if config.schedule == "plateau":  # the stored rate may have been lowered since
        first = before.get("learning_rate") or _first_rate(run, float(stored.numpy()))
        factor = 1.0 if np.float32(first) == np.float32(rate) else rate / first
        stored.assign(stored * factor)
    else:
        stored.assign(rate)


def _first_rate(run, rate):
    """The learning rate of the first epoch, for checkpoints that do not record it."""
    path = run.folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return json.loads(lines[0])["learning_rate"] if lines else rate
