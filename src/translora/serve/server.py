"""The process: a socket, uvicorn on it, and signals that let it finish what is under way."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import sys
from dataclasses import dataclass

import uvicorn

from translora.errors import ConfigError
from translora.io import console
from translora.serve.app import access_log, create_app
from translora.serve.models import Models
from translora.serve.service import Settings


@dataclass(frozen=True)
class Address:
    """Where the server listens."""

    host: str = "127.0.0.1"
    port: int = 5000
    """0 takes any free port."""
    trusted_proxies: str = ""
    """The addresses of proxies whose word for the client's address is taken."""


@dataclass(frozen=True)
class Running:
    """How the process runs."""

    access_log: bool = True
    drain_seconds: int = 60
    """How long requests that are under way may take after SIGTERM."""


def bind(address: Address) -> socket.socket:
    """A socket at `address`; raises `ConfigError` where it is taken or there is none."""
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        made = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigError(f"--host {address.host}: no address of this machine ({error})") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address.host, address.port))
        made.listen(2048)  # so that a second server is told at once that the port is taken
    except (OSError, OverflowError) as error:
        made.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"port {address.port} on {address.host}: {reason}: choose another with --port") from error
    return made


def serve(models: Models, settings: Settings, listening: socket.socket, address: Address, running: Running) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that are under way then are answered first."""
    app = create_app(models, settings)
    freeze_objects()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(address.trusted_proxies),
        forwarded_allow_ips=address.trusted_proxies or None,
        timeout_graceful_shutdown=running.drain_seconds,
        limit_concurrency=None,
        lifespan="on",
        ws="none",
    )
    if running.access_log:
        _log_accesses()
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    console.notice(f"serving {', '.join(served.name for served in models)} at http://{shown}:{port}")
    before = {number: signal.signal(number, _already_handled) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def freeze_objects() -> None:
    """Take all objects that are alive out of later garbage collections.

    A full collection visits half a million objects of libraries and models. It holds Python's lock for about 0.3
    seconds, in which no request is answered. Removed models are freed all the same: their references form no cycle.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # the next full collection is due by the number of objects that are left, which is small now


def _already_handled(*_: object) -> None:
    """Uvicorn raises the signal that ended it once more."""


def _log_accesses() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    access_log.addHandler(handler)
    access_log.setLevel(logging.INFO)
    access_log.propagate = False
