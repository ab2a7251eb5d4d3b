"""Serving: a local stand-in for TensorFlow Serving, a client and a load test.

The server needs the SavedModel, but not keras_sat.
"""

import os

# TensorFlow's start-up notices in C++ hide the server's own lines. keras_sat sets both, too.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The server decodes faster if TensorFlow keeps the memory of large tensors.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
