"""The options by which the commands say which server they mean."""

from pathlib import Path


def add_options(parser):
    group = parser.add_argument_group("server")
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


def from_options(args):
    """What they say, as arguments of `CaptionClient`.

    Raises:
        ValueError: a file that cannot be read.
    """
    try:
        roots = (
            Path(args.root_certificates).read_bytes()
            if args.root_certificates
            else b""
            if args.tls
            else None
        )
        token = Path(args.token_file).read_text("utf-8").strip() if args.token_file else None
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}") from error
    given = {name: getattr(args, name) for name in ("server", "model", "label", "deadline")}
    return {**given, "root_certificates": roots, "token": token}
