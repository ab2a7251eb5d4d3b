"""Serving: a local stand-in for TensorFlow Serving, a client and a load test. Needs the SavedModel, not keras_sat."""

import os

# The server decodes faster where TensorFlow keeps the memory of large tensors, as keras_sat has it.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
