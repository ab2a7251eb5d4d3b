"""What every request passes: the token, parsing, one status for every failure, counting, and a line in the log."""

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
_HEALTH = "/grpc.health.v1.Health/"  # asked by orchestrators, which carry no token
_LONGEST_REASON = 400  # characters; it may quote the request, and travels in a header


class Gate(grpc.aio.ServerInterceptor):
    """Args: metrics: a `serving.server.metrics.Metrics`. token: that requests must bring, or None."""

    def __init__(self, metrics, token=None):
        self._metrics, self._expected = metrics, f"Bearer {token}".encode() if token else None

    async def intercept_service(self, continuation, details):
        handler = await continuation(details)
        if handler is None:
            return None
        if not (self._admits(details) or details.method.startswith(_HEALTH)):
            return _unauthenticated(handler)
        if handler.request_streaming or handler.response_streaming:
            return handler
        return grpc.unary_unary_rpc_method_handler(  # requests arrive as bytes, so that unreadable ones are counted too
            self._observed(handler, details.method.rsplit("/", 1)[-1]),
            response_serializer=handler.response_serializer,
        )

    def _admits(self, details):
        given = dict(details.invocation_metadata).get("authorization", "")
        return self._expected is None or hmac.compare_digest(given.encode(), self._expected)

    def _observed(self, handler, method):
        async def answer(encoded, context):
            started, code, request, reason = time.monotonic(), grpc.StatusCode.OK, None, ""
            self._metrics.in_flight.inc()
            try:
                request = _parse(handler.request_deserializer, encoded)
                return await handler.unary_unary(request, context)
            except Refused as error:
                code, reason = error.code, textwrap.shorten(str(error), _LONGEST_REASON)
            except asyncio.CancelledError:
                left = context.time_remaining()
                late = left is not None and left <= 0
                code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
                raise
            except grpc.aio.AbortError:  # health checks end so
                code = context.code()
                raise
            except NotImplementedError:
                code, reason = (
                    grpc.StatusCode.UNIMPLEMENTED,
                    "for models of tf.Example, which this server does not serve",
                )
            except Exception:
                log.exception("%s failed", method)
                code, reason = grpc.StatusCode.INTERNAL, "the server failed; its log says why"
            finally:
                seconds = time.monotonic() - started
                self._metrics.in_flight.dec()
                self._metrics.request_ends(method, code, seconds)
                log.info(
                    "%s %s %d bytes %s %.0f ms %s %s",
                    method, _subject(request), len(encoded), code.name, 1000 * seconds, context.peer(), reason
                )  # fmt: skip
            await context.abort(code, reason)

        return answer


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
    rows = {
        tensor.tensor_shape.dim[0].size
        for tensor in getattr(request, "inputs", {}).values()
        if tensor.tensor_shape.dim
    }
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
