"""The tensors of a request, checked against a signature before anything is allocated for them."""

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.types_pb2 import DataType

from serving.server.errors import invalid


def checked_rows(inputs, signature, most_rows):
    """How many rows a request has, once names, types and shapes are those of the signature.

    Args:
        inputs: {name: TensorProto}. signature: a SignatureDef. most_rows: of the first dimension, the batch.
    Raises:
        Refused: INVALID_ARGUMENT.
    """
    known = set(signature.inputs)
    if set(inputs) != known:
        extra, missing = (
            ",".join(sorted(names)) for names in (set(inputs) - known, known - set(inputs))
        )
        raise invalid(
            f"inputs do not match the signature. Sent extra: {{{extra}}}. Missing but required: {{{missing}}}."
        )
    rows = {_checked_shape(name, inputs[name], info)[0] for name, info in signature.inputs.items()}
    if len(rows) > 1:
        raise invalid("the inputs' first dimensions, the batch, are not equal")
    if not 1 <= min(rows) <= most_rows:
        raise invalid(f"a batch of {min(rows)}: a request must hold from 1 to {most_rows}")
    return rows.pop()


def to_array(name, proto, most_bytes):
    """The array of a tensor whose shape has been checked.

    Args:
        most_bytes: that numbers may take; one value may stand for many.
    Raises:
        Refused: INVALID_ARGUMENT.
    """
    shape, dtype = _shape(proto), tf.dtypes.as_dtype(proto.dtype)
    elements = int(np.prod(shape, dtype=object))
    if dtype == tf.string and elements != len(proto.string_val):
        raise invalid(f"input {name}: {len(proto.string_val)} strings for shape {shape}")
    if dtype != tf.string and elements * dtype.size > most_bytes:
        raise invalid(f"input {name}: shape {shape} takes more than {most_bytes} bytes")
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError) as error:
        raise invalid(f"input {name}: the values do not fill shape {shape}") from error


def _shape(proto):
    return [dim.size for dim in proto.tensor_shape.dim]


def _checked_shape(name, proto, info):
    if proto.dtype != info.dtype:
        given = DataType.Name(proto.dtype) if proto.dtype in DataType.values() else proto.dtype
        raise invalid(f"input {name}: must be {DataType.Name(info.dtype)}, not {given}")
    shape = _shape(proto)
    if proto.tensor_shape.unknown_rank or not shape or min(shape) < 0:
        raise invalid(f"input {name}: its shape must be known and start with the batch")
    if not tf.TensorShape(info.tensor_shape).is_compatible_with(shape):
        raise invalid(
            f"input {name}: shape {shape} does not fit {tf.TensorShape(info.tensor_shape)}"
        )
    return shape
