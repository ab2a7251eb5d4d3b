"""Checks a request's tensors against a signature, before any memory is allocated for them."""

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.types_pb2 import DataType

from serving.server.errors import invalid


def checked_rows(inputs, signature, max_rows):
    """Checks that names, types and shapes are those of the signature.

    Args:
        inputs: {name: TensorProto}.
        signature: a SignatureDef.
        max_rows: of the first dimension, the batch.

    Returns:
        How many rows the request has.

    Raises:
        Refused: INVALID_ARGUMENT.
    """
    given = set(inputs)
    known = set(signature.inputs)
    if given != known:
        extra = ",".join(sorted(given - known))
        missing = ",".join(sorted(known - given))
        raise invalid(
            f"inputs do not match the signature. Sent extra: {{{extra}}}. "
            f"Missing but required: {{{missing}}}."
        )
    rows = {_checked_shape(name, inputs[name], info)[0] for name, info in signature.inputs.items()}
    if len(rows) > 1:
        raise invalid("the inputs' first dimensions, the batch, are not equal")
    number = rows.pop()
    if not 1 <= number <= max_rows:
        raise invalid(f"a batch of {number}: a request must hold from 1 to {max_rows}")
    return number


def to_array(name, proto, max_bytes):
    """Converts a tensor whose shape has been checked.

    Args:
        name: the input's.
        proto: a TensorProto.
        max_bytes: that numbers may take. A short message can ask for a large array, because one
            value may be given for many elements.

    Returns:
        The array.

    Raises:
        Refused: INVALID_ARGUMENT.
    """
    shape = _shape(proto)
    dtype = tf.dtypes.as_dtype(proto.dtype)
    elements = int(np.prod(shape, dtype=object))  # Python's integers do not overflow
    if dtype == tf.string and elements != len(proto.string_val):
        raise invalid(f"input {name}: {len(proto.string_val)} strings for shape {shape}")
    if dtype != tf.string and elements * dtype.size > max_bytes:
        raise invalid(f"input {name}: shape {shape} takes more than {max_bytes} bytes")
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError) as error:
        raise invalid(f"input {name}: the values do not fill shape {shape}") from error


def _shape(proto):
    return [dim.size for dim in proto.tensor_shape.dim]


def _checked_shape(name, proto, info):
    """The shape of a TensorProto that fits a TensorInfo."""
    if proto.dtype != info.dtype:
        given = DataType.Name(proto.dtype) if proto.dtype in DataType.values() else proto.dtype
        raise invalid(f"input {name}: must be {DataType.Name(info.dtype)}, not {given}")
    shape = _shape(proto)
    if proto.tensor_shape.unknown_rank or not shape or min(shape) < 0:
        raise invalid(f"input {name}: its shape must be known and start with the batch")
    expected = tf.TensorShape(info.tensor_shape)
    if not expected.is_compatible_with(shape):
        raise invalid(f"input {name}: shape {shape} does not fit {expected}")
    return shape
