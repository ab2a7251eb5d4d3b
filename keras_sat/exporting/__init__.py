"""A trained run as a SavedModel for TensorFlow Serving."""
