"""Serves the page's application by uvicorn."""

import socket

import uvicorn

from keras_sat.utils.errors import UserError

_CONNECTIONS = 64  # at the same time


def listen(host, port):
    """A socket that is bound to an address; it is bound before what takes long is done.

    Raises:
        UserError: the address is taken or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise UserError(f"{host}:{port}: {error}; say another --host or --port") from error
    return bound


def serve(application, bound, certificate=None, key=None):
    """Serves until SIGTERM or SIGINT, and prints the address first.

    Args:
        application: of ASGI.
        bound: a socket of `listen`.
        certificate: a PEM file for HTTPS, or None.
        key: its key's file, or None.

    Raises:
        UserError: the certificate and its key cannot be used.
    """
    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        limit_concurrency=_CONNECTIONS,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    try:
        config.load()
    except OSError as error:
        raise UserError(f"{certificate} and {key}: no certificate and its key: {error}") from error
    bound.listen()  # a browser may connect as soon as the address is printed
    host, port, *_ = bound.getsockname()
    shown = f"[{host}]" if ":" in host else host
    print(f"open http{'s' if certificate else ''}://{shown}:{port}", flush=True)
    uvicorn.Server(config).run([bound])
