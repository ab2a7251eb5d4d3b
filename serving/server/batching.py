"""How requests are put together: TensorFlow Serving's BatchingParameters, read from its text format.

The message is declared here since tensorflow-serving-api leaves it out (tensorflow_serving/servables/tensorflow/
session_bundle_config.proto); names, numbers and meaning are TensorFlow Serving's, so one file does for both.
"""

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

MODEL_FILE = (
    "batching_params.pbtxt"  # in a version's folder: with this name TensorFlow Serving finds it too
)


def _declare():
    file = descriptor_pb2.FileDescriptorProto(
        name="serving/batching_parameters.proto",
        package="serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    message = file.message_type.add(name="BatchingParameters")
    single = {"type": Field.TYPE_MESSAGE, "label": Field.LABEL_OPTIONAL}
    for number, name in enumerate(
        ["max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"], 1
    ):
        message.field.add(
            name=name, number=number, type_name=".google.protobuf.Int64Value", **single
        )
    message.field.add(
        name="thread_pool_name", number=5, type_name=".google.protobuf.StringValue", **single
    )
    message.field.add(
        name="allowed_batch_sizes", number=6, type=Field.TYPE_INT64, label=Field.LABEL_REPEATED
    )
    message.field.add(
        name="pad_variable_length_inputs",
        number=7,
        type=Field.TYPE_BOOL,
        label=Field.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("serving.BatchingParameters"))


_BatchingParameters = _declare()


class Batching:
    """Sizes in images, the timeout in microseconds; the queue counts full batches that wait, one queue a signature.

    Without `allowed_batch_sizes` every size up to `max_batch_size` is allowed, so that nothing is padded.
    """

    def __init__(self, text="", source="the defaults"):
        """Args: text: a BatchingParameters in protobuf's text format. source: names it in errors.
        Raises: ValueError."""
        try:
            given = text_format.Parse(text, _BatchingParameters())
        except text_format.ParseError as error:
            raise ValueError(
                f"{source}: no BatchingParameters of TensorFlow Serving: {error}"
            ) from error

        def value(name, default):
            return getattr(given, name).value if given.HasField(name) else default

        self.max_batch_size = value("max_batch_size", 32)
        self.timeout_micros = value("batch_timeout_micros", 5000)
        self.max_enqueued_batches = value("max_enqueued_batches", 4)
        self.threads = value("num_batch_threads", 2)
        self.allowed_sizes = list(given.allowed_batch_sizes) or list(
            range(1, self.max_batch_size + 1)
        )
        if (
            min(
                self.max_batch_size,
                self.max_enqueued_batches,
                self.threads,
                self.timeout_micros + 1,
            )
            < 1
        ):
            raise ValueError(
                f"{source}: sizes and threads must be 1 or more, the timeout 0 or more"
            )
        if (
            sorted({*self.allowed_sizes, self.max_batch_size}) != self.allowed_sizes
            or self.allowed_sizes[0] < 1
        ):
            raise ValueError(
                f"{source}: allowed_batch_sizes must increase and end with max_batch_size, {self.max_batch_size}"
            )

    @property
    def largest_request(self):
        """Images of one request that an empty queue can hold."""
        return self.max_batch_size * self.max_enqueued_batches

    @property
    def most_in_flight(self):
        """Images of one signature that wait or are computed at most."""
        return self.max_batch_size * (self.max_enqueued_batches + self.threads)
