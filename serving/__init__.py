"""Serving: a local stand-in for TensorFlow Serving, a client and a load test.

The server needs the SavedModel, but not keras_sat.
"""

import os

# The server decodes faster if TensorFlow keeps the memory of large tensors. keras_sat sets it too.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
