"""What decides who may connect to a server: its host, TLS, and --insecure. Needs nothing else."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_tls_options(group, protocol="TLS"):
    """Adds --certificate, --key and --insecure.

    Args:
        group: a parser or a group of its arguments, which has --host.
        protocol: what the certificate is for, in the help.
    """
    group.add_argument("--certificate", metavar="PEM", help=f"for {protocol}, with --key")
    group.add_argument("--key", metavar="PEM", help=f"for {protocol}, with --certificate")
    group.add_argument(
        "--insecure", action="store_true", help="lets other machines connect without TLS"
    )


def check_tls_options(parser, args):
    """Ends the command with a usage error where the options would expose plain text.

    Args:
        parser: the argparse.ArgumentParser.
        args: its parsed arguments, with --host and those of `add_tls_options`.
    """
    if bool(args.certificate) != bool(args.key):
        parser.error("--certificate and --key go together")
    if args.host not in LOOPBACK and not args.certificate and not args.insecure:
        parser.error(
            f"--host {args.host} without TLS: give --certificate and --key, or say --insecure"
        )
