"""python -m serving.server --model-base-path serving/models/NAME

A local stand-in for TensorFlow Serving: its gRPC services over the SavedModels in a folder, one sub-folder a version. New
versions are picked up and old ones dropped without losing a request; SIGTERM lets requests end first. Plain text is
for this machine alone unless --insecure; --certificate and --key give TLS.
"""

import argparse
import asyncio
import logging
import signal
from pathlib import Path

log = logging.getLogger(__name__)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main(arguments=None):
    parser = _parser()
    args = parser.parse_args(arguments)
    if not args.model_base_path and not args.model_config_file:
        parser.error("say --model-base-path serving/models/NAME, or --model-config-file FILE")
    if bool(args.certificate) != bool(args.key):
        parser.error("--certificate and --key go together")
    if args.host not in _LOOPBACK and not args.certificate and not args.insecure:
        parser.error(
            f"--host {args.host} without TLS: give --certificate and --key, or say --insecure"
        )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        asyncio.run(_serve(args, *_read(args)))
    except (OSError, ValueError) as error:
        parser.exit(2, f"error: {' '.join(str(error).split())}\n")
    except KeyboardInterrupt:
        parser.exit(130, "interrupted\n")


def _read(args):
    """(`Batching`, token or None) of the files that the arguments name; nothing here needs tensorflow."""
    from serving.server.batching import Batching

    if args.model_base_path and not Path(args.model_base_path).is_dir():
        raise ValueError(
            f"{args.model_base_path}: no such folder; python -m keras_sat.export makes one"
        )
    path = args.batching_parameters_file
    batching = Batching(Path(path).read_text("utf-8"), path) if path else Batching()
    token = Path(args.token_file).read_text("utf-8").strip() if args.token_file else None
    if token == "":
        raise ValueError(f"{args.token_file}: holds no token")
    return batching, token


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m serving.server", description=__doc__.split("\n\n", 1)[1]
    )
    model = parser.add_argument_group("models")
    model.add_argument(
        "--model-base-path", metavar="DIR", help="holds a folder a version, named by its number"
    )
    model.add_argument(
        "--model-name", default="captioner", metavar="NAME", help="that requests say (%(default)s)"
    )
    model.add_argument(
        "--model-config-file",
        metavar="FILE",
        help="TensorFlow Serving's, in place of the two above",
    )
    model.add_argument(
        "--batching-parameters-file",
        metavar="FILE",
        help="for versions without a batching_params.pbtxt",
    )
    model.add_argument(
        "--poll-seconds",
        type=float,
        default=1,
        metavar="S",
        help="between looks for versions (%(default)s)",
    )
    net = parser.add_argument_group("network")
    net.add_argument("--host", default="127.0.0.1", help="(%(default)s)")
    net.add_argument(
        "--port", type=int, default=8500, help="of gRPC (%(default)s); 0 takes a free one"
    )
    net.add_argument(
        "--metrics-port",
        type=int,
        default=8501,
        help="of Prometheus metrics over HTTP (%(default)s)",
    )
    net.add_argument("--certificate", metavar="PEM", help="for TLS, with --key")
    net.add_argument("--key", metavar="PEM", help="for TLS, with --certificate")
    net.add_argument(
        "--insecure", action="store_true", help="lets other machines connect without TLS"
    )
    net.add_argument("--token-file", metavar="FILE", help="holds a token that requests must bring")
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-message-megabytes", type=int, default=64, metavar="MB", help="(%(default)s)"
    )
    limits.add_argument(
        "--max-concurrent-requests", type=int, default=1024, metavar="N", help="(%(default)s)"
    )
    limits.add_argument(
        "--drain-seconds",
        type=float,
        default=30,
        metavar="S",
        help="for requests at SIGTERM (%(default)s)",
    )
    return parser


async def _serve(args, batching, token):
    import grpc
    from grpc_health.v1 import health, health_pb2_grpc
    from tensorflow_serving.apis.model_service_pb2_grpc import add_ModelServiceServicer_to_server
    from tensorflow_serving.apis.prediction_service_pb2_grpc import (
        add_PredictionServiceServicer_to_server,
    )

    from serving.server import reflection
    from serving.server.gate import Gate
    from serving.server.metrics import Metrics
    from serving.server.services import ModelService, PredictionService

    metrics, most_bytes = Metrics(), args.max_message_megabytes << 20
    models = _models(args, batching, metrics, most_bytes)
    await asyncio.to_thread(models.poll)
    if not models.ready():
        raise ValueError(models.missing())

    server = grpc.aio.server(
        interceptors=[Gate(metrics, token)],
        options=[("grpc.max_receive_message_length", most_bytes), ("grpc.so_reuseport", 0)],
        maximum_concurrent_rpcs=args.max_concurrent_requests,
    )
    healthy = health.aio.HealthServicer()
    add_PredictionServiceServicer_to_server(PredictionService(models), server)
    add_ModelServiceServicer_to_server(ModelService(models), server)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable(server)
    port = _bind(server, args)
    try:
        page = metrics.serve(args.host, args.metrics_port)
    except OSError as error:
        raise ValueError(
            f"{args.host}:{args.metrics_port}: {error.strerror}; say another --metrics-port"
        ) from error
    await server.start()

    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    watching = asyncio.create_task(
        _watch(models, healthy, ("", *reflection.SERVICES), args.poll_seconds)
    )
    log.info(
        "serving on %s:%d, metrics on http://%s:%d", args.host, port, args.host, page.server_port
    )
    await stop.wait()
    log.info("stopping: requests that have arrived have %g seconds to end", args.drain_seconds)
    watching.cancel()
    await healthy.enter_graceful_shutdown()
    await server.stop(args.drain_seconds)
    page.shutdown()
    await asyncio.to_thread(models.close)


async def _watch(models, healthy, services, seconds):
    """Follows the folders of versions, and tells health checks."""
    from grpc_health.v1.health_pb2 import HealthCheckResponse

    while True:
        status = HealthCheckResponse.SERVING if models.ready() else HealthCheckResponse.NOT_SERVING
        for name in services:
            await healthy.set(name, status)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(models.poll)


def _models(args, batching, metrics, most_bytes):
    from google.protobuf import text_format
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    from serving.server.servable import Servable
    from serving.server.versions import ModelManager

    config = ModelServerConfig()
    if path := args.model_config_file:
        try:
            text_format.Parse(Path(path).read_text("utf-8"), config)
        except text_format.ParseError as error:
            raise ValueError(
                f"{path}: no ModelServerConfig of TensorFlow Serving: {error}"
            ) from error
    else:
        config.model_config_list.config.add(name=args.model_name, base_path=args.model_base_path)

    def load(name, version, folder):
        return Servable(name, version, folder, batching, most_bytes, metrics)

    return ModelManager(config.model_config_list.config, load, metrics)


def _bind(server, args):
    import grpc

    address = f"{args.host}:{args.port}"
    try:
        if not args.certificate:
            return server.add_insecure_port(address)
        pair = Path(args.key).read_bytes(), Path(args.certificate).read_bytes()
        return server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    except RuntimeError as error:
        files = f", or {args.certificate} and {args.key} are no pair" if args.certificate else ""
        raise ValueError(
            f"{address}: cannot listen there; is --port taken by another server{files}?"
        ) from error


if __name__ == "__main__":
    main()
