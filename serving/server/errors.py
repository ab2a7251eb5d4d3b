"""The errors that a server answers with."""

import grpc

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Refused(Exception):
    """A request that gets an error status in place of a result.

    Args:
        code: a grpc.StatusCode.
        message: one line that says why.
    """

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def invalid(message):
    """A `Refused` with INVALID_ARGUMENT."""
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


def refused_by_tensorflow(error):
    """Turns a session's `tf.errors.OpError` into `Refused`. TensorFlow's codes are gRPC's.

    The session raises it while it handles the runtime's own error, to whose message it adds lines
    of our source code. So the message is taken from the runtime's error.
    """
    message = getattr(error.__context__, "message", error.message)
    return Refused(_CODES[error.error_code], message.split("\n\t [[", 1)[0])
