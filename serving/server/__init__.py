"""A local stand-in for TensorFlow Serving. Imports nothing of keras_sat."""
