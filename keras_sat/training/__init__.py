"""The training loop and what it needs: optimizers, objectives, workers, validation."""
