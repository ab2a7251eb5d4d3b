"""TensorFlow Serving's REST interface, translated to the server's own gRPC.

Every request takes the way of a gRPC request: the same token, limits, queue, metrics and log.
"""

import asyncio
import base64
import binascii
import contextlib
import json
import socket
import tempfile

import grpc
import numpy as np
import tensorflow as tf
import uvicorn
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from serving.server.errors import Refused, invalid

_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]
_SECONDS = 60  # that a request may take, its upload and its answer each
_LARGEST_VERSION = 2**63 - 1


class RestServer:
    """The HTTP server of the REST interface. Its address is taken when the object is made.

    Args:
        host: of the address.
        port: of the address; 0 takes a free one.
        max_bytes: of a request's body.
        max_connections: at the same time.
        certificate: a PEM file for HTTPS, or None.
        key: its key's file, or None.

    Attributes:
        target: the address at which it asks the gRPC server, a socket in a private folder.
        url: its own address.

    Raises:
        OSError: the address is taken or none of this machine's.
    """

    def __init__(self, host, port, max_bytes, max_connections, certificate=None, key=None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._bound = socket.create_server((host, port), family=family)
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://{host}:{self._bound.getsockname()[1]}"
        self._folder = tempfile.TemporaryDirectory(prefix="serving-")
        self.target = f"unix:{self._folder.name}/grpc"
        self._channel = grpc.aio.insecure_channel(self.target, _CHANNEL_OPTIONS)
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(self._channel, max_bytes),
                log_level="warning",
                access_log=False,
                limit_concurrency=max_connections,
                server_header=False,
                proxy_headers=False,
                lifespan="off",
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        # Signals are the caller's.
        self._server.capture_signals = contextlib.nullcontext  # pyright: ignore
        self._task = None

    def start(self):
        """Starts to serve."""
        self._task = asyncio.create_task(self._server.serve([self._bound]))

    async def stop(self):
        """Lets requests end, and closes everything."""
        self._server.should_exit = True
        await self._task
        await self._channel.close()
        self._folder.cleanup()


def application(channel, max_bytes):
    """The ASGI application.

    Args:
        channel: of grpc.aio, to the server.
        max_bytes: of a request's body.
    """
    rest = _Rest(channel, max_bytes)
    routes = []
    for version in ("", "/versions/{version:int}", "/labels/{label}"):
        model = "/v1/models/{model}" + version
        routes += [
            Route(f"{model}/metadata", rest.metadata),
            Route(f"{model}:predict", rest.predict, methods=["POST"]),
            Route(model, rest.status),
        ]
    handlers = {Refused: _refused, grpc.RpcError: _failed, ClientDisconnect: _gone}
    return Starlette(routes=routes, exception_handlers=handlers)


class _Rest:
    def __init__(self, channel, max_bytes):
        self._models = ModelServiceStub(channel)
        self._predictions = PredictionServiceStub(channel)
        self._max_bytes = max_bytes

    async def status(self, request):
        asked = GetModelStatusRequest(model_spec=_spec(request))
        answer = await _call(self._models.GetModelStatus, asked, request)
        rows = []
        for each in answer.model_version_status:
            code = grpc.StatusCode.UNKNOWN if each.status.error_code else grpc.StatusCode.OK
            rows.append(
                {
                    "version": str(each.version),
                    "state": ModelVersionStatus.State.Name(each.state),
                    "status": {
                        "error_code": code.name,
                        "error_message": each.status.error_message,
                    },
                }
            )
        return JSONResponse({"model_version_status": rows})

    async def metadata(self, request):
        answer, signatures = await self._signatures(request)
        described = MessageToDict(signatures, preserving_proto_field_name=True)
        spec = MessageToDict(answer.model_spec, preserving_proto_field_name=True)
        return JSONResponse({"model_spec": spec, "metadata": {"signature_def": described}})

    async def predict(self, request):
        asked = _parsed(await self._body(request))
        spec = _spec(request)
        spec.signature_name = asked.get("signature_name", "serving_default")
        by_row = "instances" in asked
        if by_row:
            _, signatures = await self._signatures(request)
            inputs = _columns(asked["instances"], signatures.signature_def[spec.signature_name])
        else:
            inputs = asked["inputs"]
        message = PredictRequest(model_spec=spec)
        for name, values in inputs.items():
            message.inputs[name].CopyFrom(_tensor(name, values))
        answer = await _call(self._predictions.Predict, message, request)
        outputs = {name: tf.make_ndarray(each) for name, each in answer.outputs.items()}
        shown = {name: _listed(outputs[name]) for name in sorted(outputs)}
        if not by_row:
            return _json({"outputs": shown})
        rows = [dict(zip(shown, values)) for values in zip(*shown.values())]
        return _json({"predictions": rows})

    async def _signatures(self, request):
        asked = GetModelMetadataRequest(model_spec=_spec(request), metadata_field=["signature_def"])
        answer = await _call(self._predictions.GetModelMetadata, asked, request)
        signatures = SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        return answer, signatures

    async def _body(self, request):
        try:
            return await asyncio.wait_for(self._read(request), _SECONDS)
        except asyncio.TimeoutError as error:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            raise Refused(code, "the body took too long") from error

    async def _read(self, request):
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._max_bytes:
                raise Refused(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"a body of more than {self._max_bytes} bytes",
                )
        return bytes(body)


def _spec(request):
    """The ModelSpec that a path names."""
    parts = request.path_params
    spec = ModelSpec(name=parts["model"], version_label=parts.get("label"))
    if "version" in parts:
        if parts["version"] > _LARGEST_VERSION:
            raise Refused(grpc.StatusCode.NOT_FOUND, "no such version")
        spec.version.value = parts["version"]
    return spec


async def _call(method, message, request):
    """Calls a method of the server with the token that the request brings."""
    token = request.headers.get("authorization", "")
    metadata = [("authorization", token if token.isascii() and token.isprintable() else "")]
    return await method(message, timeout=_SECONDS, metadata=metadata)


def _parsed(body):
    """The request in a body: signature_name, and either instances or inputs."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is no JSON: {error}") from error
    if not isinstance(asked, dict) or ("instances" in asked) == ("inputs" in asked):
        raise invalid('the body must be {"instances": [...]} or {"inputs": {...}}')
    if not isinstance(asked.get("signature_name", ""), str):
        raise invalid("signature_name must be a string")
    if "inputs" in asked and not isinstance(asked["inputs"], dict):
        raise invalid('inputs must be {"NAME": [a value per row]}')
    return asked


def _columns(rows, signature):
    """{input: values} of a list with {input: value}, or a bare value for an only input, per row."""
    if not isinstance(rows, list) or not rows:
        raise invalid("instances must be a list with a value per row")
    names = set(signature.inputs)
    columns = {}
    for row in rows:
        is_named = isinstance(row, dict) and set(row) != {"b64"}
        if not is_named and len(names) != 1:
            raise invalid(f"an instance must name its inputs: {', '.join(sorted(names))}")
        named = row if is_named else {next(iter(names)): row}
        for name, value in named.items():
            columns.setdefault(name, []).append(value)
    return columns


def _tensor(name, values):
    """The TensorProto of nested lists of numbers, strings, or {"b64": TEXT}."""
    try:
        decoded = _decoded(values)
        leaf = decoded
        while isinstance(leaf, list) and leaf:
            leaf = leaf[0]
        # NumPy's own type for bytes cuts off zeros at the end.
        array = np.array(decoded, object if isinstance(leaf, bytes) else np.float32)
        return tf.make_tensor_proto(array)
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise invalid(f"input {name}: not a tensor of strings or numbers: {error}") from error


def _decoded(value):
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        if set(value) != {"b64"} or not isinstance(value["b64"], str):
            raise ValueError('bytes are {"b64": "TEXT"}')
        return base64.b64decode(value["b64"], validate=True)
    return value


def _listed(array):
    """An output as nested lists; its strings as text."""
    if array.dtype == object:
        texts = [value.decode("utf-8", "replace") for value in array.flat]
        array = np.array(texts, object).reshape(array.shape)
    return array.tolist()


def _json(content):
    """JSON as TensorFlow Serving writes it, with NaN and Infinity where they occur."""
    return Response(json.dumps(content), media_type="application/json")


async def _refused(request, error):
    return JSONResponse({"error": str(error)}, _HTTP.get(error.code, 500))


async def _failed(request, error):
    return JSONResponse({"error": error.details()}, _HTTP.get(error.code(), 500))


async def _gone(request, error):
    return Response(status_code=400)
