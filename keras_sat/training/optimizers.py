"""The optimizer, the learning rate and the averaged weights of an experiment's `train` section."""

import contextlib

import keras
import tensorflow as tf
from official.modeling.optimization import DirectPowerDecay, LinearWarmup

from keras_sat.utils.errors import UserError

_OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
}


def build_optimizer(config, steps_per_epoch, slow_weights=()):
    """A Keras optimizer.

    It clips the global norm after the replicas' gradients have been added up.

    Args:
        config: a `keras_sat.config.Training`.
        steps_per_epoch: updates per epoch, to convert epochs into steps.
        slow_weights: [(variables, factor on the learning rate)], of variables that have a rate of
            their own.
    """
    settings = {
        "learning_rate": learning_rate(config, steps_per_epoch),
        "global_clipnorm": config.clip_norm or None,
        "use_ema": config.average > 0,
        "ema_momentum": config.average,
        "ema_overwrite_frequency": None,
    }
    if config.optimizer == "rmsprop":  # the constants of the authors' code for Flickr8k
        settings |= {"rho": 0.95, "momentum": 0.9, "epsilon": 1e-4, "centered": True}
    optimizer_class = _with_rates(_OPTIMIZERS[config.optimizer], slow_weights)
    optimizer = _with_early_average(optimizer_class)(**settings)
    if config.precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


def _with_rates(base, slow_weights):
    """The optimizer class `base`, where some variables take only a given fraction of each step.

    For them that equals a learning rate of their own, since the steps of these optimizers are
    linear in the rate.
    """
    factors = {}
    for variables, factor in slow_weights:
        for variable in variables:
            factors[variable._unique_id] = factor
    if not factors:
        return base

    class WithRates(base):
        def update_step(self, gradient, variable):
            factor = factors.get(self._var_key(variable))
            before = None if factor is None else tf.identity(variable)
            super().update_step(gradient, variable)
            if factor is not None:
                variable.assign(before + factor * (variable - before))

    return WithRates


def _with_early_average(base):
    """The optimizer class `base` with a moving average that is short at first.

    Its decay is min(average, (1 + n) / (10 + n)) after n updates, as in
    `tf.train.ExponentialMovingAverage`. Otherwise the initial weights would count for epochs.
    """

    class WithEarlyAverage(base):
        @property
        def ema_momentum(self):
            updates = tf.cast(self.iterations, tf.float32)
            return tf.minimum(self._longest_momentum, (1 + updates) / (10 + updates))

        @ema_momentum.setter
        def ema_momentum(self, momentum):
            self._longest_momentum = momentum

    return WithEarlyAverage


@contextlib.contextmanager
def averaged(optimizer, variables):
    """Within the block the variables hold their moving averages, if `train.average` keeps any."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    trained = [variable.numpy() for variable in variables] if optimizer.use_ema else []
    optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, trained):
            variable.assign(value)


def learning_rate(config, steps_per_epoch):
    """The learning rate as an optimizer takes it.

    Args:
        config: a `keras_sat.config.Training`.
        steps_per_epoch: updates per epoch, to convert epochs into steps.

    Returns:
        A Keras schedule over steps, or a plain number where the rate is constant or changed from
        outside (plateau).

    Raises:
        UserError: warm-up together with schedule `plateau`, or none with `noam`.
    """
    rate = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, config.epochs * steps_per_epoch)
    elif config.schedule == "step":
        rate = _step_schedule(config, steps_per_epoch)
    elif config.schedule == "noam":
        rate = _inverse_root(config)
    if not config.warmup_steps:
        return rate
    if config.schedule == "plateau":
        raise UserError(
            "train.warmup_steps: cannot be combined with schedule `plateau`; set one of them off"
        )
    return LinearWarmup(rate, config.warmup_steps, warmup_learning_rate=0.0)


def _step_schedule(config, steps_per_epoch):
    """× decay_rate at the start of each epoch from `decay_from` on."""
    # The first epoch has no rate before it that could change.
    changes = range(max(config.decay_from, 2), config.epochs + 1)
    rates = []
    for epoch in (1, *changes):
        decays = max(0, epoch - config.decay_from + 1)
        rates.append(config.learning_rate * config.decay_rate**decays)
    if not changes:
        return rates[0]
    boundaries = [(epoch - 1) * steps_per_epoch - 1 for epoch in changes]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)


def _inverse_root(config):
    """learning_rate · √(warmup_steps / step), the schedule of Vaswani et al. 2017, section 5.3."""
    if not config.warmup_steps:
        raise UserError(
            "train.schedule: noam needs a warm-up; set train.warmup_steps, such as to 4000"
        )
    return DirectPowerDecay(config.learning_rate * config.warmup_steps**0.5, power=-0.5)
