"""The training loop and what it needs: optimizers, objectives, workers, validation."""

import keras_sat.models  # noqa: F401  models and objectives import each other: models come first
