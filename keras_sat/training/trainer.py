"""The training loop: epochs over batches, validation, checkpoints.

The update itself is in `keras_sat.models.step`.
"""

import contextlib
import json
import math
import signal
import tempfile
import time
from pathlib import Path

import tensorflow as tf

from keras_sat.data import input_pipeline
from keras_sat.data.reading import reading
from keras_sat.data.shard_check import ShardCheck
from keras_sat.data.sharding import WHOLE, Part, dealt, not_empty
from keras_sat.runs.checkpoints import Checkpoints, Progress
from keras_sat.runs.loading import build_model, load_vocabulary
from keras_sat.training import resuming
from keras_sat.training.divergence import diverged, no_gain, unique_ids
from keras_sat.training.initialisation import initialise
from keras_sat.training.objectives import build_objective
from keras_sat.training.optimizers import averaged, build_optimizer
from keras_sat.training.profile import Profile
from keras_sat.training.tensorboard import EVERY, TensorBoard
from keras_sat.training.validation import Validation
from keras_sat.training.workers import Workers
from keras_sat.utils.errors import UserError, memory_advice
from keras_sat.utils.progress import progress_bar
from keras_sat.utils.version import code_version


class Trainer:
    """Trains a run, from its last checkpoint if there is one.

    A resumed run continues with the next batch: order and noise are functions of (seed, epoch,
    step), and everything else is in the checkpoint.

    With several workers, each has a `Trainer`. Only the chief writes the run and reports; the files
    of the others are deleted.

    Args:
        run: a `Run`.
        data: its `PreparedData`.
        workers: `Workers` (default: this process, on all its GPUs).
        profile: (first, last) of the updates to profile, see `Profile`; None for none.
    """

    def __init__(self, run, data, workers=None, profile=None):
        self.run = run
        self.data = data
        self.experiment = run.experiment
        self.config = run.experiment.train
        if self.config.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.workers = workers or Workers()
        self.strategy = self.workers.strategy
        self.vocabulary = load_vocabulary(run)
        self.steps_per_epoch = self._count_steps()
        with self.strategy.scope():
            self.model = build_model(run)
            self.optimizer = build_optimizer(
                self.config, self.steps_per_epoch, self.model.slow_weights()
            )
            self.optimizer.build(self.model.trainable_variables)
            self.objective = build_objective(run)
            self.model.compile(
                self.optimizer,
                self.objective,
                seed=self.experiment.seed,
                accumulate=self.config.accumulate,
                label_smoothing=self.config.label_smoothing,
                weight_decay=self.config.weight_decay,
            )
        self.progress = Progress(vocabulary=self.vocabulary.fingerprint)
        self._output = run.folder
        if not self.workers.chief:
            # Saving adds up the replicas' metrics, so every worker must take part in it.
            self._dropped = tempfile.TemporaryDirectory()
            self._output = Path(self._dropped.name)
        self.checkpoints = Checkpoints(self._output / "checkpoints", self.model, self.progress)
        self._profile = Profile(self._output / "logs", profile)
        self._interrupted = False

    @property
    def _by_files(self):
        """Whether every worker reads files of its own."""
        return self.experiment.data.sharding == "files"

    def _count_steps(self):
        # Where workers read files of their own, an epoch is as long as that of the worker with the
        # most images. Every worker's part gives this number.
        part = Part(count=self.workers.count) if self._by_files else WHOLE
        return input_pipeline.count_batches(self.data, self.experiment.data, part=part)

    def fit(self):
        """Trains to the last epoch, or until patience or time end.

        Returns:
            The final `Progress`.

        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once the checkpoint is written.
            UserError: a corrupt or changed shard; a loss or weights that are not finite; another
                number of workers than that among which the files were distributed; teachers that do
                not fit this run or have changed; checkpoints of which none is sound.
        """
        self._resume()
        if self._finished():
            return self.progress
        resuming.check_workers(self.run, self.progress, self.workers.count)
        resuming.check_teachers(self.run, self.progress)
        advice = (
            f"raise train.accumulate (now {self.config.accumulate}), with which a run also "
            f"resumes, or lower data.batch_size (now {self.experiment.data.batch_size}) "
            "in a new run"
        )
        self._shard_check = ShardCheck(self.data, ("train", "val"))
        checking = self._shard_check.running()
        sound = reading(self.data, "train", "val")
        with self._signals(), memory_advice(advice), sound, checking:
            with self.strategy.scope():
                self.objective.prepare(self.data, self.vocabulary)
            self._train_step = self._compiled_step()
            self._validation = Validation(
                self.model, self.data, self.vocabulary, self.experiment, self.strategy
            )
            self._board = TensorBoard(
                self._output / "logs", self.experiment, self._validation.pictures
            )
            while not self._finished():
                self._epoch()
                if self.workers.any(self._interrupted):
                    raise KeyboardInterrupt
        return self.progress

    @contextlib.contextmanager
    def _signals(self):
        """Within the block Ctrl-C and SIGTERM end training only after a checkpoint is written."""
        previous = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, self._interrupt)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _interrupt(self, number, frame):
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True

    def _resume(self):
        """Restores the last sound checkpoint, or gives a new run its first weights.

        Raises:
            UserError: as `Checkpoints.restore`; the best checkpoint is damaged, and no epoch is
                left that could replace it.
        """
        restored = self.checkpoints.restore(self.run.folder / "checkpoints")
        if restored.path is None:
            initialise(self.model, self.run)
        self.progress.commit = code_version()
        self.workers.wait()  # until no worker reads the files that the chief will replace
        if self.workers.chief:
            resuming.tell_what_was_lost(self.run, restored, self.progress)
            resuming.cut_metrics(self.run.folder / "metrics.jsonl", self.progress.epoch)
        if restored.best:
            resuming.forget_best(self.progress)
            if self._finished():
                raise UserError(
                    f"{restored.best}, and training is finished; restore the file, or train "
                    f"further with --set train.epochs={self.progress.epoch + 1}"
                )
        resuming.adopt_settings(self.run, self.progress, self.optimizer, self.steps_per_epoch)

    # Batches and steps

    def _read(self, devices=1, part=WHOLE, named=False):
        """The batches of the next epoch; the arguments are those of `training_batches`."""
        return input_pipeline.training_batches(
            self.data,
            self.experiment.data,
            self.vocabulary,
            self.experiment.seed,
            self.progress.epoch,
            shares=devices * self.config.accumulate,
            inputs=(*self.model.input_shapes, *self.objective.inputs),
            part=part,
            named=named,
        )

    def _batches(self, skip=0):
        """The batches of the next epoch, distributed to the devices.

        Args:
            skip: how many of them are done already.
        """

        def read(devices, part=WHOLE):
            return self._read(devices, part).skip(skip)

        def read_own_files(context):
            devices = context.num_replicas_in_sync // context.num_input_pipelines
            part = Part(context.input_pipeline_id, context.num_input_pipelines)
            return dealt(read(devices, part), devices)

        if self._by_files:
            return self.strategy.distribute_datasets_from_function(read_own_files)
        batches = read(self.strategy.num_replicas_in_sync)
        return self.strategy.experimental_distribute_dataset(batches)

    def _compiled_step(self):
        """`train_step` as one graph for batches of any size.

        A graph per size would be slow, and would round differently.
        """
        signature = [self._batches().element_spec]

        def learn(batch):
            if self._by_files:
                batch = not_empty(batch, self.config.accumulate)
            return self.model.train_step(batch)

        def step(batch):
            return self.strategy.run(learn, (batch,))

        return tf.function(step, input_signature=signature, autograph=False)

    # Epochs

    def _finished(self):
        config = self.config
        out_of_patience = config.patience and self.progress.waited >= config.patience
        # Clocks differ, so that the workers decide together.
        out_of_time = config.max_minutes and self.progress.seconds >= 60 * config.max_minutes
        out_of_time = self.workers.any(bool(out_of_time))
        return self.progress.epoch >= config.epochs or out_of_patience or out_of_time

    def _epoch(self):
        progress = self.progress
        started = time.monotonic()
        saved = started
        self._clock = started
        if progress.batch:
            self._board.leave_out(self.model.metrics)
        with progress_bar(
            total=self._captions,
            initial=self._captions_done(),
            desc=f"epoch {progress.epoch + 1}/{self.config.epochs}",
            unit=" captions",
            disable=not self.workers.chief,
        ) as bar:
            for batch in self._batches(skip=progress.batch):
                self._profile.before_update()
                metrics = self._train_step(batch)
                self._profile.after_update()
                progress.batch += 1
                if progress.batch % EVERY == 0:
                    step = int(self.optimizer.iterations.numpy())
                    self._board.write_steps(step, self.model.metrics)
                if progress.batch % 10 == 0:  # reading a metric waits for the device
                    shown = self.objective.shown
                    bar.set_postfix({shown: f"{float(metrics[shown]):.3f}"}, refresh=False)
                    self._check_finite()
                bar.update(self._captions_done() - bar.n)
                due = time.monotonic() - saved > 60 * self.config.checkpoint_minutes
                if self.workers.any(self._interrupted or due):
                    self._check_finite()
                    self._shard_check.raise_if_damaged()
                    self._add_time()
                    saved = time.monotonic()
                    self.checkpoints.save_last()
                    if self.workers.any(self._interrupted):
                        raise KeyboardInterrupt
        self._profile.stop()
        self._check_finite()
        self._end_of_epoch(self._results(), training_seconds=time.monotonic() - started)

    @property
    def _captions(self):
        """Captions per epoch."""
        return self.data.statistics["train"]["captions"]

    def _captions_done(self):
        """The captions of this epoch so far, an estimate.

        Where workers have files of their own, their numbers of batches differ.
        """
        done = int(self._captions * self.progress.batch / self.steps_per_epoch)
        return min(self._captions, done)

    def _results(self):
        """The epoch's metrics so far, {name: float}."""
        # From the metrics and not from the last step: a run that was stopped at the epoch's end
        # resumes with no step left.
        return {metric.name: float(metric.result()) for metric in self.model.metrics}

    def _check_finite(self):
        """Checks that the loss and the weights are finite.

        Raises:
            UserError: they are not. It names the batch from which on they are not.
        """
        updates = int(self.model.training_step.diverged.numpy())
        if not updates:
            return
        index = self.progress.batch - updates
        step = int(self.optimizer.iterations.numpy()) - updates + 1
        place = f"in epoch {self.progress.epoch + 1}, batch {index + 1} (update {step})"
        images = self._images_of_batch(index)
        raise diverged(self.run, place, images, self.checkpoints.progress_of_last())

    def _images_of_batch(self, index):
        """The source ids of a batch of this epoch; none if it consists of several workers' files.

        Args:
            index: the batch's, counted from 0.
        """
        if self._by_files and self.workers.several:
            return []
        (batch,) = self._read(named=True).skip(index).take(1)
        return unique_ids(batch)

    def _end_of_epoch(self, results, training_seconds):
        progress = self.progress
        self._shard_check.raise_if_damaged(wait=True)
        if not self.checkpoints.any:
            # Neither a best checkpoint nor metrics are ever there without one to resume from.
            self.checkpoints.save_last()
        with averaged(self.optimizer, self.model.trainable_variables):
            scores, captioned = self._validation()
            progress.epoch += 1
            progress.batch = 0
            gain = self._record_score(scores[self.config.select_by])
            if gain:
                self.checkpoints.save_best()
            if not math.isfinite(scores["loss"]) and self.workers.chief:
                print(no_gain(progress.epoch, self._validation.without_likelihood()), flush=True)
        if not gain:
            self._decay_on_plateau()
        self.model.reset_metrics()
        self._add_time()
        results |= {f"val_{name}": value for name, value in scores.items()}
        line = {
            "epoch": progress.epoch,
            "step": int(self.optimizer.iterations.numpy()),
            **{name: round(value, 6) for name, value in results.items()},
            "learning_rate": float(self.optimizer.learning_rate.numpy()),
            "seconds": round(progress.seconds, 1),
            "training_seconds": round(training_seconds, 1),
        }
        with open(self._output / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._board.write_epoch(line, captioned)
        self.checkpoints.save_last()
        if self.workers.chief:
            self._report(line, gain)

    def _decay_on_plateau(self):
        config = self.config
        if config.schedule == "plateau" and self.progress.epoch >= config.decay_from:
            rate = self.optimizer.learning_rate
            rate.assign(rate * config.decay_rate)

    def _report(self, line, gain):
        print(
            f"epoch {line['epoch']}: {self.objective.summary(line)}, "
            f"BLEU-4 {100 * line['val_bleu4']:.1f}, CIDEr {100 * line['val_cider']:.1f}"
            f"{f', best so far (by {self.config.select_by})' if gain else ''}",
            flush=True,
        )

    def _record_score(self, score):
        """Records the epoch's score by the metric that selects. Returns: whether it is the best."""
        progress = self.progress
        if self.config.select_by == "loss":
            score = -score
        lower = progress.best is not None and score <= progress.best
        if lower or not math.isfinite(score):
            progress.waited += 1
            return False
        progress.best = score
        progress.best_epoch = progress.epoch
        progress.waited = 0
        return True

    def _add_time(self):
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self._clock = now
