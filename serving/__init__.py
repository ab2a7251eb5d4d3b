"""Serving: a local stand-in for TensorFlow Serving, a client and a load test. Needs the SavedModel, not keras_sat."""
