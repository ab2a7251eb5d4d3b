"""Whether a checkpoint can be read to its last value."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_sat.utils.errors import UserError


class Damaged(NamedTuple):
    """A checkpoint that cannot be used.

    Attributes:
        path: the checkpoint's.
        fault: what is wrong with it, in a few words.
    """

    path: Path
    fault: str

    def __str__(self):
        return f"{self.path} is damaged ({self.fault})"


def fault_in(path):
    """What is wrong with a checkpoint, in a few words; None if it is sound.

    Every value is read, so that TensorFlow compares all checksums, and must be finite.

    Args:
        path: the checkpoint's, with or without files.
    """
    path = Path(path)
    if not path.with_name(f"{path.name}.index").exists():
        return f"{path.name}.index is missing"
    try:
        reader = tf.train.load_checkpoint(str(path))
        for name, dtype in reader.get_variable_to_dtype_map().items():
            value = reader.get_tensor(name)
            if dtype.is_floating and not np.all(np.isfinite(value)):
                return f"{name.partition('/.ATTRIBUTES')[0]} holds numbers that are not finite"
    # The reader's errors are IndexError, and TensorFlow's own.
    except (tf.errors.OpError, LookupError, ValueError, RuntimeError, SystemError) as error:
        return str(error).partition("\n")[0]
    return None


def check_sound(path):
    """Checks that a checkpoint can be read.

    Raises:
        UserError: it is damaged.
    """
    fault = fault_in(path)
    if fault:
        raise UserError(
            f"{Damaged(Path(path), fault)}; restore its files, or train the run further to replace "
            "it"
        )
