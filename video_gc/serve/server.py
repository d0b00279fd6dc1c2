"""The server under the interface and the page."""

import asyncio
import errno
import logging
import signal
import socket
import sys

import uvicorn
from fastapi import FastAPI


def server(app: FastAPI, *, patience: float) -> uvicorn.Server:
    """A server for the application; `run` takes the sockets.

    patience: seconds that open requests have at the end.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=int(patience) + 1,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_error)
    return uvicorn.Server(config)


def _is_error(record: logging.LogRecord) -> bool:
    """Whether it is more than a request cut off at the end, which uvicorn logs as a crash."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def end_cleanly() -> None:
    """Let SIGTERM raise SystemExit in this process, so that `with` blocks remove files."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises OSError, with the way out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        other = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise OSError(
            f"{host}:{port}: cannot listen there ({error.strerror}); choose another {other}"
        ) from error
