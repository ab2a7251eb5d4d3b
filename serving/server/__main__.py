"""keras-sat serve --model-base-path serving/models/NAME

A local stand-in for TensorFlow Serving: its gRPC services over the SavedModels in a folder, with
one sub-folder per version. New versions are loaded and old ones dropped without losing a request.
SIGTERM lets requests end first. Plain text is for this machine alone, unless --insecure is given;
--certificate and --key give TLS.
"""

import argparse
import asyncio
from pathlib import Path

from serving.server.batching import BatchingParameters
from serving.server.log import log_to_standard_error
from serving.tls import add_tls_options, check_tls_options


def main(arguments=None):
    parser = _parser()
    args = parser.parse_args(arguments)
    if not args.model_base_path and not args.model_config_file:
        parser.error("say --model-base-path serving/models/NAME, or --model-config-file FILE")
    check_tls_options(parser, args)
    log_to_standard_error()
    try:
        _check_base_path(args.model_base_path)
        batching = _read_batching(args.batching_parameters_file)
        token = _read_token(args.token_file)

        from serving.server.serve import serve

        rest = None
        if args.rest_port is not None:
            from serving.server.rest import RestServer

            rest = RestServer
        asyncio.run(serve(args, batching, token, rest))
    except ImportError as error:
        if args.rest_port is None or error.name not in ("starlette", "uvicorn"):
            raise
        parser.exit(
            2,
            f"error: --rest-port needs {error.name}, which is not installed: "
            "pip install 'keras_sat[web]'\n",
        )
    except (OSError, ValueError) as error:
        parser.exit(2, f"error: {' '.join(str(error).split())}\n")
    except KeyboardInterrupt:
        parser.exit(130, "interrupted\n")


def _check_base_path(path):
    if path and not Path(path).is_dir():
        raise ValueError(f"{path}: no such folder; keras-sat export makes one")


def _read_batching(path):
    if not path:
        return BatchingParameters()
    return BatchingParameters(Path(path).read_text("utf-8"), path)


def _read_token(path):
    """The token that requests must bring, or None if there is no such file."""
    if not path:
        return None
    token = Path(path).read_text("utf-8").strip()
    if not token:
        raise ValueError(f"{path}: holds no token")
    return token


def _parser():
    parser = argparse.ArgumentParser(
        prog="keras-sat serve", description=__doc__.split("\n\n", 1)[1]
    )
    _add_model_options(parser.add_argument_group("models"))
    _add_network_options(parser.add_argument_group("network"))
    _add_limits(parser.add_argument_group("limits"))
    return parser


def _add_model_options(group):
    group.add_argument(
        "--model-base-path",
        metavar="DIR",
        help="holds one folder per version, named by its number",
    )
    group.add_argument(
        "--model-name", default="captioner", metavar="NAME", help="that requests say (%(default)s)"
    )
    group.add_argument(
        "--model-config-file",
        metavar="FILE",
        help="TensorFlow Serving's, in place of the two above",
    )
    group.add_argument(
        "--batching-parameters-file",
        metavar="FILE",
        help="for versions without a batching_params.pbtxt",
    )
    group.add_argument(
        "--poll-seconds",
        type=float,
        default=1,
        metavar="S",
        help="between checks for new versions (%(default)s)",
    )


def _add_network_options(group):
    group.add_argument("--host", default="127.0.0.1", help="(%(default)s)")
    group.add_argument(
        "--port", type=int, default=8500, help="of gRPC (%(default)s); 0 takes a free one"
    )
    group.add_argument(
        "--rest-port",
        type=int,
        metavar="PORT",
        help="of TensorFlow Serving's REST interface, on --host (default: none)",
    )
    group.add_argument(
        "--metrics-port",
        type=int,
        default=8501,
        help="of Prometheus metrics over HTTP (%(default)s)",
    )
    group.add_argument(
        "--metrics-host",
        default="127.0.0.1",
        metavar="HOST",
        help="of the metrics, which go out in plain text and without a token (%(default)s)",
    )
    add_tls_options(group)
    group.add_argument(
        "--token-file", metavar="FILE", help="holds a token that requests must bring"
    )


def _add_limits(group):
    group.add_argument(
        "--max-message-megabytes", type=int, default=64, metavar="MB", help="(%(default)s)"
    )
    group.add_argument(
        "--max-concurrent-requests", type=int, default=1024, metavar="N", help="(%(default)s)"
    )
    group.add_argument(
        "--drain-seconds",
        type=float,
        default=30,
        metavar="S",
        help="for requests at SIGTERM (%(default)s)",
    )


if __name__ == "__main__":
    main()
