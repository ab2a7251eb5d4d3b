"""python -m serving.web --run runs/scenes_soft

A page to try captioners: drop a picture, and see its caption word by word with the attention of
each word. --run serves a trained run behind the page; --server asks a server that is there already.
Several of them stand side by side. Serves this machine alone, unless --host says otherwise.
"""

import contextlib
import signal
import sys

from keras_sat.cli.arguments import add_runs, command_parser, with_decoding
from keras_sat.runs.ensemble import open_runs
from keras_sat.utils import extras
from keras_sat.utils.errors import UserError, command
from serving.client import connection
from serving.tls import LOOPBACK, add_tls_options, check_tls_options
from serving.web.limits import Limits


@command
def main(arguments=None):
    parser = _parser()
    args = parser.parse_args(arguments)
    if not args.run and not args.server:
        parser.error("say --run runs/NAME, or --server HOST:PORT")
    check_tls_options(parser, args)
    if min(args.max_megabytes, args.max_megapixels, args.requests_per_minute) < 1:
        parser.error(
            "--max-megabytes, --max-megapixels and --requests-per-minute must be 1 or more"
        )
    limits = Limits(args.max_megabytes, args.max_megapixels, args.requests_per_minute)
    runs = [with_decoding(open_runs([each]), args) for each in args.run]
    try:
        options = connection.from_options(args)
    except ValueError as error:
        raise UserError(str(error)) from error
    extras.web()

    from serving.web.app import application
    from serving.web.captioners import Captioner
    from serving.web.listening import listen, serve
    from serving.web.runs import served

    signal.signal(signal.SIGTERM, _end)
    with contextlib.ExitStack() as stack:
        socket = stack.enter_context(listen(args.host, args.port))
        captioners = stack.enter_context(served(runs, args.deadline))
        for server in args.server:
            name = f"{args.model} at {server}"
            captioners.append(Captioner(name, {**options, "server": server}, {}))
        hosts = ["localhost", "127.0.0.1", "[::1]"] if args.host in LOOPBACK else ["*"]
        serve(application(captioners, limits, hosts), socket, args.certificate, args.key)


def _end(number, frame):
    """Leaves by way of every `with` block, so that no server process stays behind."""
    sys.exit(0)


def _parser():
    parser = command_parser("serving.web.__main__", __doc__)
    add_runs(parser, "several stand side by side", required=False)
    connection.add_options(parser, several=True)
    group = parser.add_argument_group("page")
    group.add_argument("--host", default="127.0.0.1", help="(%(default)s)")
    group.add_argument("--port", type=int, default=8600, help="(%(default)s); 0 takes a free one")
    add_tls_options(group, "HTTPS")
    limits = Limits()
    group.add_argument(
        "--max-megabytes",
        type=int,
        default=limits.megabytes,
        metavar="MB",
        help="of a picture's file (%(default)s)",
    )
    group.add_argument(
        "--max-megapixels",
        type=int,
        default=limits.megapixels,
        metavar="N",
        help="of a picture (%(default)s)",
    )
    group.add_argument(
        "--requests-per-minute",
        type=int,
        default=limits.requests_per_minute,
        metavar="N",
        help="of one client (%(default)s)",
    )
    parser.set_defaults(deadline=20)
    return parser


if __name__ == "__main__":
    main()
