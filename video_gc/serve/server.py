"""The server under the interface and the page."""

import asyncio
import errno
import logging
import signal
import socket
import sys

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 512
"""Most connections at a time; a request on a further one is answered 503, in plain text."""


def server(app: FastAPI, *, timeout: float, patience: float) -> uvicorn.Server:
    """A server for the application; `run` takes the sockets.

    timeout: seconds after which a connection without a complete head of a request is closed.
    patience: seconds that open requests have at the end.
    """
    config = uvicorn.Config(
        app,
        http=type("Timed", (TimedProtocol,), {"timeout": timeout}),
        limit_concurrency=CONNECTIONS,
        log_level="warning",
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=int(patience) + 1,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_error)
    return uvicorn.Server(config)


class TimedProtocol(H11Protocol):
    """uvicorn's, which would wait for ever for a head that comes drop by drop."""

    timeout: float

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Of asyncio."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.timeout, self._end)

    def on_response_complete(self) -> None:
        """The next request may begin."""
        super().on_response_complete()
        self._timer.cancel()
        self._timer = self.loop.call_later(self.timeout, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _end(self) -> None:
        if self.cycle is None or self.cycle.response_complete:  # no request is in work
            self.transport.abort()


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
