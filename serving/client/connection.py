"""The options by which the commands name a server. Needs no gRPC."""

import os
from pathlib import Path

_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")  # the first that is set counts for gRPC


def add_options(parser, several=False):
    """Adds the options that name a server, a model and the credentials to a parser.

    Args:
        parser: an argparse.ArgumentParser.
        several: whether --server may be repeated; `args.server` is then a list, by default empty.
    """
    group = parser.add_argument_group("server")
    if several:
        group.add_argument(
            "--server",
            action="append",
            default=[],
            metavar="HOST:PORT",
            help="that serves a captioner; may be repeated",
        )
    else:
        group.add_argument(
            "--server", default="localhost:8500", metavar="HOST:PORT", help="(%(default)s)"
        )
    group.add_argument("--model", default="captioner", metavar="NAME", help="(%(default)s)")
    group.add_argument(
        "--label",
        metavar="LABEL",
        help="of the version, such as stable (default: the newest version)",
    )
    group.add_argument(
        "--deadline",
        type=float,
        default=60,
        metavar="S",
        help="of a request, all attempts together (%(default)s)",
    )
    group.add_argument(
        "--tls", action="store_true", help="connect with TLS, trusting the system's authorities"
    )
    group.add_argument(
        "--root-certificates", metavar="PEM", help="connect with TLS, trusting these"
    )
    group.add_argument(
        "--token-file", metavar="FILE", help="holds the token that the server asks for"
    )
    group.add_argument(
        "--proxy",
        action="store_true",
        help="connect through the proxy that grpc_proxy, https_proxy or http_proxy names",
    )


def from_options(args):
    """Turns parsed options into arguments of `CaptionClient`.

    Args:
        args: the namespace of a parser with `add_options`.

    Returns:
        {argument: value}.

    Raises:
        ValueError: a file that cannot be read.
    """
    try:
        root_certificates = _root_certificates(args)
        token = Path(args.token_file).read_text("utf-8").strip() if args.token_file else None
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}") from error
    return {
        "server": args.server,
        "model": args.model,
        "label": args.label,
        "deadline": args.deadline,
        "root_certificates": root_certificates,
        "token": token,
        "proxy": args.proxy,
    }


def described(options):
    """The server for an error message, and the proxy on the way to it.

    Args:
        options: what `from_options` returned.
    """
    named = [os.environ[name] for name in _PROXIES if os.environ.get(name)]
    if options.get("proxy") and named:
        return f"{options['server']}, through the proxy {named[0]}"
    return options["server"]


def _root_certificates(args):
    if args.root_certificates:
        return Path(args.root_certificates).read_bytes()
    return b"" if args.tls else None
