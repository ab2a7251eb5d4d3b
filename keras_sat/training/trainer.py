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
from keras_sat.data.sharding import WHOLE, Part, dealt, not_empty
from keras_sat.runs.checkpoints import Checkpoints, Progress
from keras_sat.runs.loading import build_model, load_vocabulary
from keras_sat.runs.run import open_run
from keras_sat.training.initialisation import initialise
from keras_sat.training.objectives import build_objective
from keras_sat.training.optimizers import averaged, build_optimizer
from keras_sat.training.tensorboard import TensorBoard
from keras_sat.training.validation import Validation
from keras_sat.training.workers import Workers
from keras_sat.utils.errors import UserError
from keras_sat.utils.files import write_text
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
    """

    def __init__(self, run, data, workers=None):
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
            UserError: a corrupt shard; a loss that is not a number; another number of workers than
                that among which the files were distributed; teachers that do not fit this run or
                have changed.
        """
        if not self.checkpoints.restore(self.run.folder / "checkpoints"):
            initialise(self.model, self.run)
        self.progress.commit = code_version()
        self.workers.wait()  # until no worker reads the files that the chief will replace
        self._truncate_metrics()
        if self._finished():
            return self.progress
        self._record_workers()
        self._record_teachers()
        with self._signals(), reading(self.data, "train", "val"):
            with self.strategy.scope():
                self.objective.prepare(self.data, self.vocabulary)
            self._train_step = self._compiled_step()
            self._validation = Validation(
                self.model, self.data, self.vocabulary, self.experiment, self.strategy
            )
            self._board = TensorBoard(self._output / "logs", self._validation.pictures)
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

    def _record_workers(self):
        before = self.progress.workers
        now = self.workers.count
        if self._by_files and before not in (0, now):
            raise UserError(
                f"{self.run.folder}: data.sharding=files dealt the files out to {before} workers, "
                f"and now there are {now}; resume with {before}, or train a new run"
            )
        self.progress.workers = now

    def _record_teachers(self):
        before = self.progress.teachers
        now = [open_run(folder).fingerprint() for folder in self.config.teachers]
        if before not in ([], now):
            raise UserError(
                f"{self.run.folder}: its teachers have changed since it was started; "
                "restore their weights, or train a new run"
            )
        self.progress.teachers = now

    # Batches and steps

    def _batches(self, skip=0):
        """The batches of the next epoch, distributed to the devices.

        Args:
            skip: how many of them are done already.
        """

        def read(devices, part=WHOLE):
            batches = input_pipeline.training_batches(
                self.data,
                self.experiment.data,
                self.vocabulary,
                self.experiment.seed,
                self.progress.epoch,
                shares=devices * self.config.accumulate,
                inputs=(*self.model.input_shapes, *self.objective.inputs),
                part=part,
            )
            return batches.skip(skip)

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
        with progress_bar(
            total=self._captions,
            initial=self._captions_done(),
            desc=f"epoch {progress.epoch + 1}/{self.config.epochs}",
            unit=" captions",
            disable=not self.workers.chief,
        ) as bar:
            for batch in self._batches(skip=progress.batch):
                metrics = self._train_step(batch)
                progress.batch += 1
                if progress.batch % 10 == 0:  # reading a metric waits for the device
                    shown = self.objective.shown
                    bar.set_postfix({shown: f"{float(metrics[shown]):.3f}"}, refresh=False)
                bar.update(self._captions_done() - bar.n)
                due = time.monotonic() - saved > 60 * self.config.checkpoint_minutes
                if self.workers.any(self._interrupted or due):
                    self._results()  # raises before anything bad is saved
                    self._add_time()
                    saved = time.monotonic()
                    self.checkpoints.save_last()
                    if self.workers.any(self._interrupted):
                        raise KeyboardInterrupt
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
        """The epoch's metrics so far, {name: float}.

        Raises:
            UserError: one of them is not a finite number, which must not be saved.
        """
        # From the metrics and not from the last step: a run that was stopped at the epoch's end
        # resumes with no step left.
        results = {metric.name: float(metric.result()) for metric in self.model.metrics}
        for name, value in results.items():
            if not math.isfinite(value):
                raise UserError(
                    f"{self.run.folder}: the {name} is {value} in epoch {self.progress.epoch + 1}; "
                    "lower train.learning_rate or train.clip_norm (the last checkpoint is from "
                    "before)"
                )
        return results

    def _end_of_epoch(self, results, training_seconds):
        progress = self.progress
        with averaged(self.optimizer, self.model.trainable_variables):
            scores, captioned = self._validation()
            progress.epoch += 1
            progress.batch = 0
            gain = self._record_score(scores[self.config.select_by])
            if gain:
                self.checkpoints.save_best()
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
        self._board.write(line, captioned)
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
        if progress.best is not None and score <= progress.best:
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

    def _truncate_metrics(self):
        """Drops the lines of epochs that the checkpoint does not include.

        These epochs will be run again.
        """
        path = self._output / "metrics.jsonl"
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            # There is one line per epoch. An incomplete line can only come after these.
            write_text(path, "".join(lines[: self.progress.epoch]))
