"""What a server answers instead of a result."""

import grpc


class Refused(Exception):
    """A request that gets a status in place of an answer: one of gRPC's status codes, and one line saying why."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def invalid(message):
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def refused_by_tensorflow(error):
    """A session's `tf.errors.OpError` as `Refused`: TensorFlow and gRPC number their codes alike.

    The session raises it while handling the runtime's own error, to whose message it adds our source lines.
    """
    message = getattr(error.__context__, "message", error.message)
    return Refused(_CODES[error.error_code], message.split("\n\t [[", 1)[0])
