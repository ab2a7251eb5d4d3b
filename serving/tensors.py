"""The tensors of a request, checked against a signature before anything is allocated for them."""

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.types_pb2 import DataType

from serving.errors import invalid


def request_arrays(inputs, signature, most_rows, most_bytes):
    """A request's tensors as arrays.

    Args:
        inputs: {name: TensorProto}. signature: a SignatureDef.
        most_rows: of the first dimension. most_bytes: that an input of numbers may take.
    Returns:
        {name: array}, all with the same first dimension.
    Raises:
        Refused: INVALID_ARGUMENT.
    """
    known = set(signature.inputs)
    if set(inputs) != known:
        extra, missing = (",".join(sorted(names)) for names in (set(inputs) - known, known - set(inputs)))
        raise invalid(f"inputs do not match the signature. Sent extra: {{{extra}}}. Missing but required: {{{missing}}}.")
    shapes = {name: _shape(name, inputs[name], info) for name, info in signature.inputs.items()}
    rows = {shape[0] for shape in shapes.values()}
    if len(rows) > 1:
        raise invalid("the inputs' first dimensions, the batch, are not equal")
    if not 1 <= min(rows) <= most_rows:
        raise invalid(f"a batch of {min(rows)}: a request must hold from 1 to {most_rows}")
    return {name: _array(name, inputs[name], shape, most_bytes) for name, shape in shapes.items()}


def _shape(name, proto, info):
    if proto.dtype != info.dtype:
        given = DataType.Name(proto.dtype) if proto.dtype in DataType.values() else proto.dtype
        raise invalid(f"input {name}: must be {DataType.Name(info.dtype)}, not {given}")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or not shape or min(shape) < 0:
        raise invalid(f"input {name}: its shape must be known and start with the batch")
    if not tf.TensorShape(info.tensor_shape).is_compatible_with(shape):
        raise invalid(f"input {name}: shape {shape} does not fit {tf.TensorShape(info.tensor_shape)}")
    return shape


def _array(name, proto, shape, most_bytes):
    elements, dtype = int(np.prod(shape, dtype=object)), tf.dtypes.as_dtype(proto.dtype)
    if dtype == tf.string and elements != len(proto.string_val):
        raise invalid(f"input {name}: {len(proto.string_val)} strings for shape {shape}")
    if dtype != tf.string and elements * dtype.size > most_bytes:  # one value may stand for many
        raise invalid(f"input {name}: shape {shape} takes more than {most_bytes} bytes")
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError) as error:
        raise invalid(f"input {name}: the values do not fill shape {shape}") from error
