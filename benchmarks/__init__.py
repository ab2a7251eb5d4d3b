"""One script per question. Each compares like with like in one run."""

import keras_sat  # noqa: F401  its settings of TensorFlow, which have to come before TensorFlow
