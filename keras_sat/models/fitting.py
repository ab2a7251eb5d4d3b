"""What `Captioner.fit` and `evaluate` ask of batches and callbacks before Keras takes over."""

import contextlib

import keras
import tensorflow as tf

from keras_sat.data.epochs import FitEpoch
from keras_sat.data.input_pipeline import filled_up
from keras_sat.utils.errors import UserError


def numbered(batches, names, shares):
    """Batches whose rows are numbered, and that can be cut into equal shares.

    This comes before the batches are distributed: a replica does not know which rows it holds.

    Args:
        batches: a tf.data.Dataset of dictionaries, or one that is distributed already.
        names: of what a batch must hold.
        shares: how many equal shares a batch is cut into, see
            `keras_sat.data.input_pipeline.training_batches`.

    Returns:
        The batches with "row", filled up with empty captions.

    Raises:
        UserError: something else, or batches that lack an input.
    """
    is_distributed = isinstance(batches, tf.distribute.DistributedDataset)
    if not isinstance(batches, tf.data.Dataset) and not is_distributed:
        raise UserError(
            f"fit, evaluate: expected a tf.data.Dataset of batches, got {type(batches).__name__}; "
            "keras_sat.data.batches makes one of a prepared data set"
        )
    spec = batches.element_spec
    needed = {*names, "row"} if is_distributed else {*names}
    if not isinstance(spec, dict):
        raise UserError(f"batches: expected dictionaries with {', '.join(sorted(needed))}")
    missing = needed - set(spec)
    if missing:
        raise UserError(
            f"batches: lack {', '.join(sorted(missing))}; "
            "make them with keras_sat.data.batches(…, inputs=model.input_shapes)"
        )
    if is_distributed or ("row" in spec and shares == 1):
        return batches

    @tf.autograph.experimental.do_not_convert
    def number(batch):
        first_row = batch["row"][0] if "row" in batch else 0
        return filled_up(batch, shares, first_row)

    return batches.map(number, num_parallel_calls=tf.data.AUTOTUNE)


def checked_callbacks(callbacks, optimizer, steps_per_epoch=None):
    """The callbacks as a list, if they do what they say.

    Args:
        callbacks: as for Keras' `fit`.
        optimizer: the compiled one.
        steps_per_epoch: as for Keras' `fit`.

    Raises:
        UserError: one that would silently skip and repeat batches, or change no learning rate.
    """
    # Keras takes one callback, a list, nested lists, or a CallbackList.
    callbacks = tf.nest.flatten(getattr(callbacks, "callbacks", callbacks))
    callbacks = [callback for callback in callbacks if callback is not None]
    for callback in callbacks:
        message = _fault(callback, optimizer, steps_per_epoch)
        if message:
            raise UserError(f"{type(callback).__name__}: {message}")
    return callbacks


_CHANGE_THE_RATE = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)


def _fault(callback, optimizer, steps_per_epoch):
    """Why a callback would not do what it says, with the way out; or None."""
    is_backup = isinstance(callback, keras.callbacks.BackupAndRestore)
    if is_backup and (callback.save_freq != "epoch" or callback.save_before_preemption):
        return (
            "within an epoch Keras resumes the step but starts the batches again, so that some "
            'are skipped and others repeated; set save_freq="epoch" without '
            "save_before_preemption, or train by `keras-sat train`, which resumes exactly"
        )
    if is_backup and steps_per_epoch:
        return (
            "with steps_per_epoch an epoch begins where the last one ended, but a resumed fit "
            "starts the batches again; leave steps_per_epoch out, and use batches.take(…) for less"
        )
    if isinstance(callback, _CHANGE_THE_RATE) and _has_schedule(optimizer):
        return (
            "cannot change a learning rate that is a schedule; compile the model with a number as "
            "the learning rate, or leave the callback out"
        )
    return None


def _has_schedule(optimizer):
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return isinstance(optimizer.get_config().get("learning_rate"), dict)


class EpochCounter(keras.callbacks.Callback):
    """Tells `keras_sat.data.batches` the epoch, each time before Keras asks for its batches.

    It comes after the other callbacks, of which BackupAndRestore may choose the first epoch.

    Args:
        initial_epoch: that of `fit`.
    """

    def __init__(self, initial_epoch):
        super().__init__()
        self._initial_epoch = initial_epoch

    def on_train_begin(self, logs=None):
        first, _ = self.model._maybe_load_initial_counters_from_ckpt(None, self._initial_epoch)
        FitEpoch.number = int(first)

    def on_epoch_end(self, epoch, logs=None):
        FitEpoch.number = epoch + 1


@contextlib.contextmanager
def fitting(model):
    """A context for `fit`: the callbacks' checkpoints of the model hold the optimizer too.

    Otherwise BackupAndRestore would go on with a new optimizer, at step 0. Outside of it, a
    checkpoint of the model holds the model alone. At the end, `batches` are those of epoch 0 again.

    Args:
        model: a compiled `Captioner`.
    """
    if isinstance(model.optimizer, keras.optimizers.Optimizer):  # not a legacy one
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
    model._track_trackable(model.optimizer, "optimizer", overwrite=True)
    try:
        yield
    finally:
        model._delete_tracking("optimizer")
        FitEpoch.number = 0
