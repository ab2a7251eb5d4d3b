"""The optimiser and the learning rate that an experiment's `train` section describes."""

import keras

from keras_sat.errors import UserError


def build_optimizer(config, steps_an_epoch):
    """A Keras optimiser; it clips the global norm after the replicas' gradients were added.

    Args:
        config: a `keras_sat.config.Training`.
        steps_an_epoch: updates an epoch, by which epochs become steps.
    """
    common = {
        "learning_rate": learning_rate(config, steps_an_epoch),
        "global_clipnorm": config.clip_norm or None,
    }
    if config.optimizer == "rmsprop":  # the constants of the authors' code for Flickr8k
        optimizer = keras.optimizers.RMSprop(rho=0.95, momentum=0.9, epsilon=1e-4, centered=True, **common)
    else:
        optimizer = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[config.optimizer](**common)
    if config.precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


def learning_rate(config, steps_an_epoch):
    """A Keras schedule over steps, or a plain number where the rate is constant or changed from outside (plateau)."""
    base = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(base, config.epochs * steps_an_epoch)
    elif config.schedule == "step":
        epochs = range(max(config.decay_from, 2), config.epochs + 1)
        rates = [base * config.decay_rate ** max(0, epoch - config.decay_from + 1) for epoch in (1, *epochs)]
        boundaries = [(epoch - 1) * steps_an_epoch - 1 for epoch in epochs]
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates) if boundaries else rates[0]
    else:
        rate = base
    if not config.warmup_steps:
        return rate
    if config.schedule == "plateau":
        raise UserError("train.warmup_steps: has no effect that could be kept with schedule `plateau`; set one of them off")
    from official.modeling.optimization import LinearWarmup

    return LinearWarmup(rate, config.warmup_steps, warmup_learning_rate=0.0)
