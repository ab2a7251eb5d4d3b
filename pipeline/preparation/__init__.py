"""The components of data preparation, under TFX's names."""
