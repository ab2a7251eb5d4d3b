"""The training loop: epochs over batches, validation, checkpoints. What is learned stands in the models' `train_step`."""

import json
import signal
import tempfile
import time
from pathlib import Path

import tensorflow as tf

from keras_sat.data import input_pipeline
from keras_sat.data.reading import reading
from keras_sat.data.sharding import WHOLE, Part, dealt, not_empty
from keras_sat.runs.checkpoints import Checkpoints, Progress
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
    """Trains a run, from its last checkpoint on where there is one.

    A resumed run goes on at the very batch: order and noise are functions of (seed, epoch, step), and all else is in the
    checkpoint.

    Of several workers each holds all of this; only the chief writes the run and reports, the others' files are dropped.

    Args:
        run: a `keras_sat.runs.run.Run`. data: its `PreparedData`.
        workers: `Workers` (default: this process, on all its GPUs).
    """

    def __init__(self, run, data, workers=None):
        self.run, self.data = run, data
        self.experiment = run.experiment
        self.config = run.experiment.train
        if self.config.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.workers = workers or Workers()
        self.strategy = self.workers.strategy
        self.vocabulary = run.vocabulary()
        # By files, an epoch is as long as that of the worker who has the most; any worker's part tells.
        sharing = (
            Part(count=self.workers.count) if self.experiment.data.sharding == "files" else WHOLE
        )
        self.steps_an_epoch = input_pipeline.count_batches(data, self.experiment.data, part=sharing)
        with self.strategy.scope():
            self.model = run.build_model()
            self.optimizer = build_optimizer(
                self.config, self.steps_an_epoch, self.model.slow_weights()
            )
            self.optimizer.build(self.model.trainable_variables)
            self.objective = build_objective(run)
            self.model.prepare_training(
                self.config, self.optimizer, self.experiment.seed, self.objective
            )
        self.progress = Progress(vocabulary=self.vocabulary.fingerprint)
        # Saving adds up the replicas' metrics, so every worker must take part in it.
        self._dropped = None if self.workers.chief else tempfile.TemporaryDirectory()
        self._output = Path(self._dropped.name) if self._dropped else run.folder
        self.checkpoints = Checkpoints(self._output / "checkpoints", self.model, self.progress)
        self._interrupted = False

    def fit(self):
        """Trains to the last epoch, or until patience or time end.

        Returns:
            The final `Progress`.
        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once the checkpoint is written.
            UserError: a corrupt shard, a loss that is not a number, other workers than those whose files were dealt out, or
                teachers that cannot teach this run or are not what they were.
        """
        if not self.checkpoints.restore(self.run.folder / "checkpoints"):
            initialise(self.model, self.run)
        self.progress.commit = code_version()
        self.workers.wait()  # until nobody reads what the chief is about to replace
        self._truncate_metrics()
        if self._finished():
            return self.progress
        self._count_workers()
        self._know_teachers()
        previous = {
            number: signal.signal(number, self._interrupt)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            with reading(self.data, "train", "val"):
                with self.strategy.scope():
                    self.objective.prepare(self.data, self.vocabulary)
                self._function = self._train_function()
                self._validation = Validation(
                    self.model, self.data, self.vocabulary, self.experiment, self.strategy
                )
                self._board = TensorBoard(self._output / "logs", self._validation.pictures)
                while not self._finished():
                    self._epoch()
                    if self.workers.any(self._interrupted):
                        raise KeyboardInterrupt
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        return self.progress

    def _count_workers(self):
        before, now = self.progress.workers, self.workers.count
        if self.experiment.data.sharding == "files" and before not in (0, now):
            raise UserError(
                f"{self.run.folder}: data.sharding=files dealt the files out to {before} workers, and now there are {now}; "
                f"go on with {before}, or train a new run"
            )
        self.progress.workers = now

    def _know_teachers(self):
        before, now = (
            self.progress.teachers,
            [open_run(folder).fingerprint() for folder in self.config.teachers],
        )
        if before not in ([], now):
            raise UserError(
                f"{self.run.folder}: its teachers have been trained on since it was begun; bring their weights back, or "
                "train a new run"
            )
        self.progress.teachers = now

    def _batches(self, skip=0):
        """The batches of the epoch that comes next, shared out to the devices."""

        def read(shares, part=WHOLE):
            return input_pipeline.training_batches(
                self.data,
                self.experiment.data,
                self.vocabulary,
                self.experiment.seed,
                self.progress.epoch,
                shares=shares * self.config.accumulate,
                inputs=(*self.model.input_shapes, *self.objective.inputs),
                part=part,
            ).skip(skip)

        def own(context):
            devices = context.num_replicas_in_sync // context.num_input_pipelines
            part = Part(context.input_pipeline_id, context.num_input_pipelines)
            return dealt(read(devices, part), devices)

        if self.experiment.data.sharding == "files":
            return self.strategy.distribute_datasets_from_function(own)
        return self.strategy.experimental_distribute_dataset(
            read(self.strategy.num_replicas_in_sync)
        )

    def _train_function(self):
        """`train_step` as one graph for batches of any size: a graph a size would be slow, and would round differently."""
        signature = [self._batches().element_spec]

        def learn(batch):
            if self.experiment.data.sharding == "files":
                batch = not_empty(batch, self.config.accumulate)
            return self.model.train_step(batch)

        return tf.function(
            lambda batch: self.strategy.run(learn, (batch,)),
            input_signature=signature,
            autograph=False,
        )

    def _finished(self):
        out_of_patience = self.config.patience and self.progress.waited >= self.config.patience
        out_of_time = (
            self.config.max_minutes and self.progress.seconds >= 60 * self.config.max_minutes
        )
        return self.progress.epoch >= self.config.epochs or out_of_patience or out_of_time

    def _epoch(self):
        progress, started = self.progress, time.monotonic()
        self._clock = saved = started
        total = self.data.statistics["train"]["captions"]

        def done():  # of workers with files of their own, the number of batches is but an estimate
            return min(total, int(total * progress.batch / self.steps_an_epoch))

        with progress_bar(
            total=total,
            initial=done(),
            desc=f"epoch {progress.epoch + 1}/{self.config.epochs}",
            unit=" captions",
            disable=not self.workers.chief,
        ) as bar:
            for batch in self._batches(skip=progress.batch):
                logs = self._function(batch)
                progress.batch += 1
                if progress.batch % 10 == 0:  # reading a metric waits for the device
                    bar.set_postfix(
                        {self.objective.shown: f"{float(logs[self.objective.shown]):.3f}"},
                        refresh=False,
                    )
                bar.update(done() - bar.n)
                due = time.monotonic() - saved > 60 * self.config.checkpoint_minutes
                if self.workers.any(self._interrupted or due):
                    self._check_loss()
                    self._add_time()
                    saved = time.monotonic()
                    self.checkpoints.save_last()
                    if self.workers.any(self._interrupted):
                        raise KeyboardInterrupt
        self._end_of_epoch(self._check_loss(), training_seconds=time.monotonic() - started)

    def _check_loss(self):
        """The epoch's metrics so far; they must be numbers before anything is saved."""
        # From the metrics, not the last step: a run that was stopped at the epoch's end resumes with no step left.
        results = {metric.name: float(metric.result()) for metric in self.model.metrics}
        if not all(value == value and abs(value) < float("inf") for value in results.values()):
            raise UserError(
                f"{self.run.folder}: the loss is {results['loss']} in epoch {self.progress.epoch + 1}; lower "
                "train.learning_rate or train.clip_norm (the last checkpoint is from before)"
            )
        return results

    def _end_of_epoch(self, results, training_seconds):
        progress = self.progress
        with averaged(self.optimizer, self.model.trainable_variables):
            scores, captioned = self._validation()
            progress.epoch, progress.batch = progress.epoch + 1, 0
            if gain := self._gain(scores[self.config.select_by]):
                self.checkpoints.save_best()
        results |= {f"val_{name}": value for name, value in scores.items()}
        if (
            not gain
            and self.config.schedule == "plateau"
            and progress.epoch >= self.config.decay_from
        ):
            self.optimizer.learning_rate.assign(
                self.optimizer.learning_rate * self.config.decay_rate
            )
        self.model.reset_metrics()
        self._add_time()
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
        if not self.workers.chief:
            return
        print(
            f"epoch {progress.epoch}: {self.objective.summary(line)}, "
            f"BLEU-4 {100 * line['val_bleu4']:.1f}, CIDEr {100 * line['val_cider']:.1f}"
            f"{', best so far' if gain else ''}",
            flush=True,
        )

    def _gain(self, score):
        """Whether this epoch is the best so far by the metric that selects."""
        progress = self.progress
        score = -score if self.config.select_by == "loss" else score
        if progress.best is not None and score <= progress.best:
            progress.waited += 1
            return False
        progress.best, progress.best_epoch, progress.waited = score, progress.epoch, 0
        return True

    def _add_time(self):
        now = time.monotonic()
        self.progress.seconds, self._clock = self.progress.seconds + now - self._clock, now

    def _truncate_metrics(self):
        """Drops the lines of epochs that the checkpoint does not know: they will be run again."""
        path = self._output / "metrics.jsonl"
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            write_text(
                path, "".join(lines[: self.progress.epoch])
            )  # a line an epoch; one cut short is beyond these

    def _interrupt(self, number, frame):
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
