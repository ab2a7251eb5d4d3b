"""A model's folder for TensorFlow Serving, and how its server batches requests.

It imports no TensorFlow.
"""

from dataclasses import dataclass
from pathlib import Path

from keras_sat.utils.errors import UserError


@dataclass(frozen=True)
class Batching:
    """How a server batches requests.

    A batch is filled up to a power of two, or to the largest size.

    Attributes:
        max_batch_size: images per batch.
        batch_timeout_micros: microseconds that a batch waits for further requests.
        max_enqueued_batches: full batches that wait.

    Raises:
        UserError: a value below 1.
    """

    max_batch_size: int = 64
    batch_timeout_micros: int = 5_000
    max_enqueued_batches: int = 8

    def __post_init__(self):
        for name, value in vars(self).items():
            if value < 1:
                flag = name.replace("_", "-")
                raise UserError(f"--{flag}: {value} is out of range, 1 is the least")

    @property
    def allowed_batch_sizes(self):
        powers = [1 << n for n in range((self.max_batch_size - 1).bit_length())]
        return [*powers, self.max_batch_size]

    def to_text(self):
        """TensorFlow Serving's BatchingParameters, in protobuf's text format."""
        lines = [f"{name} {{ value: {value} }}" for name, value in vars(self).items()]
        lines += [f"allowed_batch_sizes: {size}" for size in self.allowed_batch_sizes]
        return "\n".join(lines) + "\n"


def versions(folder):
    """The numbers of a model's versions, newest first."""
    numbers = [int(path.name) for path in Path(folder).glob("*") if path.name.isdigit()]
    return sorted(numbers, reverse=True)


def next_version(folder):
    return 1 + max(versions(folder), default=0)
