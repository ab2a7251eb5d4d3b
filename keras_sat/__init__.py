"""Attention captioners on TensorFlow/Keras: from a folder of pictures to a served endpoint."""

import os

# TensorFlow's C++ start-up notices bury the one line that matters; its errors reach Python as exceptions anyway.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"
