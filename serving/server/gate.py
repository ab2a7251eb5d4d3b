"""The interceptor that every request passes.

It checks the token, parses the request, turns every failure into a status, and counts and logs.
"""

import asyncio
import hmac
import logging
import reprlib
import textwrap
import time

import grpc
from google.protobuf.message import DecodeError

from serving.server.errors import Refused, invalid

log = logging.getLogger(__name__)
_HEALTH = "/grpc.health.v1.Health/"  # orchestrators ask for it, and carry no token
_LONGEST_REASON = 400  # characters; it may quote the request, and travels in a header


class Gate(grpc.aio.ServerInterceptor):
    """Lets requests in, and observes them.

    Args:
        metrics: a `serving.server.metrics.Metrics`.
        token: that requests must bring, or None.
    """

    def __init__(self, metrics, token=None):
        self._metrics = metrics
        self._expected = f"Bearer {token}".encode() if token else None

    async def intercept_service(self, continuation, details):
        handler = await continuation(details)
        if handler is None:
            return None
        if not (self._admits(details) or details.method.startswith(_HEALTH)):
            return _unauthenticated(handler)
        if handler.request_streaming or handler.response_streaming:
            return handler
        # Without a deserializer requests arrive as bytes, so that unreadable ones are counted too.
        return grpc.unary_unary_rpc_method_handler(
            self._observed(handler, details.method.rsplit("/", 1)[-1]),
            response_serializer=handler.response_serializer,
        )

    def _admits(self, details):
        if self._expected is None:
            return True
        given = dict(details.invocation_metadata).get("authorization", "")
        return hmac.compare_digest(given.encode(), self._expected)

    def _observed(self, handler, method):
        """Wraps a handler: bytes of a request → its response, or an abort with a status."""

        async def answer(encoded, context):
            started = time.monotonic()
            request = None
            code = grpc.StatusCode.OK
            reason = ""
            self._metrics.in_flight.inc()
            try:
                request = _parse(handler.request_deserializer, encoded)
                return await handler.unary_unary(request, context)
            except asyncio.CancelledError:
                code = _code_of_cancelled(context)
                raise
            except grpc.aio.AbortError:  # from the health service, which aborts by itself
                code = context.code()
                raise
            except Exception as error:
                code, reason = _refusal(error, method)
            finally:
                seconds = time.monotonic() - started
                self._metrics.in_flight.dec()
                self._metrics.request_ends(method, code, seconds)
                log.info(
                    "%s %s %d bytes %s %.0f ms %s %s",
                    method,
                    _subject(request),
                    len(encoded),
                    code.name,
                    1000 * seconds,
                    context.peer(),
                    reason,
                )
            await context.abort(code, reason)

        return answer


def _code_of_cancelled(context):
    """Why gRPC cancelled a request: its deadline passed, or the client hung up."""
    left = context.time_remaining()
    if left is not None and left <= 0:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.CANCELLED


def _refusal(error, method):
    """The status code and the reason to answer after an exception."""
    if isinstance(error, Refused):
        return error.code, textwrap.shorten(str(error), _LONGEST_REASON)
    if isinstance(error, NotImplementedError):
        reason = "for models of tf.Example, which this server does not serve"
        return grpc.StatusCode.UNIMPLEMENTED, reason
    log.error("%s failed", method, exc_info=error)
    return grpc.StatusCode.INTERNAL, "the server failed; its log says why"


def _parse(deserializer, encoded):
    try:
        return deserializer(encoded)
    except DecodeError as error:
        raise invalid(f"not a message of this method: {error}") from error


def _subject(request):
    """The model that a request asks for, and how many images it brings."""
    spec = getattr(request, "model_spec", None)
    if spec is None:
        return "-"
    version = spec.version_label or spec.version.value or "latest"
    tensors = getattr(request, "inputs", {}).values()
    rows = [tensor.tensor_shape.dim[0].size for tensor in tensors if tensor.tensor_shape.dim]
    model = "/".join(map(reprlib.repr, (spec.name, version, spec.signature_name)))
    return f"{model} {max(rows, default=0)} images"


def _unauthenticated(handler):
    async def refuse(request, context):
        await context.abort(
            grpc.StatusCode.UNAUTHENTICATED, "send the metadata authorization: Bearer TOKEN"
        )

    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse)
    return grpc.unary_unary_rpc_method_handler(refuse)
