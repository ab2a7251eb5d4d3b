"""TensorFlow Serving's BatchingParameters, read from its text format.

The message says how the images of requests are put together in batches. tensorflow-serving-api
leaves it out, so it is declared here. Names, numbers and meaning are those of
tensorflow_serving/servables/tensorflow/session_bundle_config.proto, so that one file serves both
servers.
"""

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

# In a version's folder. TensorFlow Serving finds a file of this name, too.
MODEL_FILE = "batching_params.pbtxt"

_INT64 = ".google.protobuf.Int64Value"
_STRING = ".google.protobuf.StringValue"


def _declare():
    """Declares the message, and returns its class."""
    file = descriptor_pb2.FileDescriptorProto(
        name="serving/batching_parameters.proto",
        package="serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    message = file.message_type.add(name="BatchingParameters")

    def add(number, name, label, **kind):
        message.field.add(number=number, name=name, label=label, **kind)

    single = Field.LABEL_OPTIONAL
    add(1, "max_batch_size", single, type=Field.TYPE_MESSAGE, type_name=_INT64)
    add(2, "batch_timeout_micros", single, type=Field.TYPE_MESSAGE, type_name=_INT64)
    add(3, "max_enqueued_batches", single, type=Field.TYPE_MESSAGE, type_name=_INT64)
    add(4, "num_batch_threads", single, type=Field.TYPE_MESSAGE, type_name=_INT64)
    add(5, "thread_pool_name", single, type=Field.TYPE_MESSAGE, type_name=_STRING)
    add(6, "allowed_batch_sizes", Field.LABEL_REPEATED, type=Field.TYPE_INT64)
    add(7, "pad_variable_length_inputs", single, type=Field.TYPE_BOOL)

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("serving.BatchingParameters"))


_Message = _declare()


class BatchingParameters:
    """The parameters of the batcher. There is one queue per signature.

    Args:
        text: a BatchingParameters message in protobuf's text format.
        source: names the text in errors.

    Attributes:
        max_batch_size: images in a batch.
        timeout_micros: how long a batch waits for more images, in microseconds.
        max_enqueued_batches: full batches that may wait in the queue.
        threads: batches that are computed at the same time.
        allowed_sizes: of batches; a smaller batch is padded to the next one. By default every size
            up to `max_batch_size`, so that nothing is padded.

    Raises:
        ValueError: one line that names the source.
    """

    def __init__(self, text="", source="the defaults"):
        try:
            given = text_format.Parse(text, _Message())
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
        self.allowed_sizes = list(given.allowed_batch_sizes)
        if not self.allowed_sizes:
            self.allowed_sizes = list(range(1, self.max_batch_size + 1))
        self._check(source)

    def _check(self, source):
        counts = (self.max_batch_size, self.max_enqueued_batches, self.threads)
        if min(counts) < 1 or self.timeout_micros < 0:
            raise ValueError(
                f"{source}: sizes and threads must be 1 or more, the timeout 0 or more"
            )
        sizes = self.allowed_sizes
        increasing = sizes == sorted(set(sizes))
        if not increasing or sizes[0] < 1 or sizes[-1] != self.max_batch_size:
            raise ValueError(
                f"{source}: allowed_batch_sizes must increase and end with max_batch_size, "
                f"{self.max_batch_size}"
            )

    @property
    def largest_request(self):
        """Images of one request that an empty queue can hold."""
        return self.max_batch_size * self.max_enqueued_batches

    @property
    def max_in_flight(self):
        """The largest number of images of one signature that wait or are computed."""
        return self.max_batch_size * (self.max_enqueued_batches + self.threads)
