"""The optimiser, the learning rate and the averaged weights that an experiment's `train` section describes."""

import contextlib

import keras
import tensorflow as tf

from keras_sat.utils.errors import UserError


def build_optimizer(config, steps_an_epoch, slow_weights=()):
    """A Keras optimiser; it clips the global norm after the replicas' gradients were added.

    Args:
        config: a `keras_sat.config.Training`.
        steps_an_epoch: updates an epoch, by which epochs become steps.
        slow_weights: [(variables, factor on the learning rate)], of variables that have a rate of their own.
    """
    common = {
        "learning_rate": learning_rate(config, steps_an_epoch),
        "global_clipnorm": config.clip_norm or None,
        "use_ema": config.average > 0,
        "ema_momentum": config.average,
        "ema_overwrite_frequency": None,
    }
    if config.optimizer == "rmsprop":  # the constants of the authors' code for Flickr8k
        common |= {"rho": 0.95, "momentum": 0.9, "epsilon": 1e-4, "centered": True}
    base = {
        "adam": keras.optimizers.Adam,
        "sgd": keras.optimizers.SGD,
        "rmsprop": keras.optimizers.RMSprop,
    }[config.optimizer]
    optimizer = _with_early_average(_with_rates(base, slow_weights))(**common)
    if config.precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


def _with_rates(base, slow_weights):
    """The optimiser class `base`, except that these variables move only a given part of each step.

    That is a learning rate of their own, since the steps of these optimisers are linear in the rate.
    """
    factors = {
        variable._unique_id: factor for variables, factor in slow_weights for variable in variables
    }
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
    """The optimiser class `base`, whose moving average is a short one at first: decay min(average, (1 + n) / (10 + n)).

    As `tf.train.ExponentialMovingAverage` has it; the weights that training starts from would be in it for epochs otherwise.
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
    """Inside the block the variables are their moving averages, where `train.average` keeps any."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    trained = [variable.numpy() for variable in variables] if optimizer.use_ema else []
    optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, trained):
            variable.assign(value)


def learning_rate(config, steps_an_epoch):
    """A Keras schedule over steps, or a plain number where the rate is constant or changed from outside (plateau)."""
    base = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(base, config.epochs * steps_an_epoch)
    elif config.schedule == "step":
        epochs = range(max(config.decay_from, 2), config.epochs + 1)
        rates = [
            base * config.decay_rate ** max(0, epoch - config.decay_from + 1)
            for epoch in (1, *epochs)
        ]
        boundaries = [(epoch - 1) * steps_an_epoch - 1 for epoch in epochs]
        rate = (
            keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)
            if boundaries
            else rates[0]
        )
    else:
        rate = base
    if not config.warmup_steps:
        return rate
    if config.schedule == "plateau":
        raise UserError(
            "train.warmup_steps: has no effect that could be kept with schedule `plateau`; set one of them off"
        )
    from official.modeling.optimization import LinearWarmup

    return LinearWarmup(rate, config.warmup_steps, warmup_learning_rate=0.0)
