"""Runs the server: models, gRPC services, health checks and metrics, until a signal."""

import asyncio
import contextlib
import logging
import resource
import signal
from pathlib import Path

import grpc
from google.protobuf import text_format
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from tensorflow_serving.apis.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    add_PredictionServiceServicer_to_server,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.server import reflection
from serving.server.gate import Gate
from serving.server.metrics import Metrics
from serving.server.metrics_page import MetricsPage
from serving.server.servable import Servable
from serving.server.services import ModelService, PredictionService
from serving.server.versions import ModelManager

log = logging.getLogger(__name__)
_HANDSHAKE_MS = 10_000  # that a new connection may take before it speaks HTTP/2


async def serve(args, batching, token, rest=None):
    """Serves until SIGTERM or SIGINT, then lets requests end.

    Args:
        args: the command's parsed arguments.
        batching: the `BatchingParameters` of versions without a file of their own.
        token: that requests must bring, or None.
        rest: the class `serving.server.rest.RestServer`; None serves no REST.

    Raises:
        ValueError: one line: a model that has no version that answers, a wrong file, or an address
            that is taken.
    """
    _allow_many_connections()
    metrics = Metrics()
    max_bytes = args.max_message_megabytes << 20
    models = _models(args, batching, metrics, max_bytes)
    await asyncio.to_thread(models.poll)
    if not models.ready():
        raise ValueError(models.missing())

    server = grpc.aio.server(
        interceptors=[Gate(metrics, token)],
        options=[
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.so_reuseport", 0),
            ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ],
        maximum_concurrent_rpcs=args.max_concurrent_requests,
    )
    health_service = _add_services(server, models)
    port = _bind(server, args)
    metrics_server = await _serve_metrics(metrics, args)
    rest_server = _rest_server(server, rest, args) if rest else None
    await server.start()
    if rest_server:
        rest_server.start()
        log.info("REST on %s", rest_server.url)

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watching = asyncio.create_task(_watch(models, health_service, args.poll_seconds))
    metrics_port = metrics_server.sockets[0].getsockname()[1]
    metrics_url = f"http://{args.metrics_host}:{metrics_port}"
    log.info("serving on %s:%d, metrics on %s", args.host, port, metrics_url)
    await stop.wait()

    log.info("stopping: requests that have arrived have %g seconds to end", args.drain_seconds)
    watching.cancel()
    await health_service.enter_graceful_shutdown()
    if rest_server:
        await rest_server.stop()
    await server.stop(args.drain_seconds)
    metrics_server.close()
    await asyncio.to_thread(models.close)


def _allow_many_connections():
    """Takes as many files, and so connections, as the system allows; the default is often 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS names no number
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _models(args, batching, metrics, max_bytes):
    """Makes the `ModelManager` of the models that the arguments or a configuration file name."""
    config = ModelServerConfig()
    if args.model_config_file:
        path = args.model_config_file
        try:
            text_format.Parse(Path(path).read_text("utf-8"), config)
        except text_format.ParseError as error:
            raise ValueError(
                f"{path}: no ModelServerConfig of TensorFlow Serving: {error}"
            ) from error
    else:
        config.model_config_list.config.add(name=args.model_name, base_path=args.model_base_path)

    def load(name, version, folder):
        return Servable(name, version, folder, batching, max_bytes, metrics)

    return ModelManager(config.model_config_list.config, load, metrics)


def _add_services(server, models):
    """Adds all gRPC services to a server, and returns the one of health checks."""
    health_service = health.aio.HealthServicer()
    add_PredictionServiceServicer_to_server(PredictionService(models), server)
    add_ModelServiceServicer_to_server(ModelService(models), server)
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    reflection.enable(server)
    return health_service


def _bind(server, args):
    """Binds the server to its address, with TLS if there is a certificate, and returns the port."""
    address = f"{args.host}:{args.port}"
    try:
        if not args.certificate:
            return server.add_insecure_port(address)
        key = Path(args.key).read_bytes()
        certificate = Path(args.certificate).read_bytes()
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        files = f", or {args.certificate} and {args.key} are no pair" if args.certificate else ""
        raise ValueError(
            f"{address}: cannot listen there; is --port taken by another server{files}?"
        ) from error


def _rest_server(server, rest, args):
    """Makes the REST server, which asks the gRPC server through a socket of its own."""
    try:
        rest_server = rest(
            args.host,
            args.rest_port,
            args.max_message_megabytes << 20,
            args.max_concurrent_requests,
            args.certificate,
            args.key,
        )
    except OSError as error:
        raise ValueError(
            f"{args.host}:{args.rest_port}: {error.strerror}; say another --rest-port"
        ) from error
    server.add_insecure_port(rest_server.target)
    return rest_server


async def _serve_metrics(metrics, args):
    """Starts the HTTP server of the metrics, and returns it."""
    try:
        return await MetricsPage(metrics.page).serve(args.metrics_host, args.metrics_port)
    except OSError as error:
        raise ValueError(
            f"{args.metrics_host}:{args.metrics_port}: {error.strerror}; "
            "say another --metrics-host or --metrics-port"
        ) from error


async def _watch(models, health_service, seconds):
    """Checks the folders of versions every so many seconds, and updates the health checks."""
    while True:
        status = HealthCheckResponse.SERVING if models.ready() else HealthCheckResponse.NOT_SERVING
        for name in ("", *reflection.SERVICES):  # "" is the whole server
            await health_service.set(name, status)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(models.poll)
