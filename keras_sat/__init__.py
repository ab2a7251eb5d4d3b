"""Attention captioners on TensorFlow/Keras: from a folder of pictures to a served endpoint."""

import os

# TensorFlow's C++ start-up notices hide the one line that matters. Its errors reach Python as
# exceptions anyway.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow's default allocator on the CPU returns every large tensor's memory to the system, so
# that each step must get new pages: beam search over 14×14 regions takes 1.6 times as long.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")

__version__ = "0.1.0"
