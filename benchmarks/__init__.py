"""One script a question, comparing like with like in one run."""

import keras_sat  # noqa: F401  its settings of TensorFlow, which come before TensorFlow
