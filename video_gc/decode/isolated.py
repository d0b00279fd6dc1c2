"""A decoder in a process of its own, which can be killed when it hangs.

A library that spins with the interpreter's lock held stops every thread of its process, and with
them any watchdog. So it runs behind two pipes: decode/server.py is the other end. Loader workers
are daemonic and cannot have multiprocessing's children, hence subprocess.

There is one server per process and decoder, started when it is needed. It ends when its pipe closes
(so also when this process is killed), and a forked process starts its own.
"""

import atexit
import itertools
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from video_gc.decode import reader as errors
from video_gc.decode.process import ServerDied, ServerProcess, ServerStuck
from video_gc.decode.reader import (
    DecodeError,
    OpenError,
    Request,
    Source,
    StuckError,
    VideoReader,
    check_requests,
    source_name,
)
from video_gc.decode.whole_frames import batched_rising

PORTION = 32
"""Frames that are fetched at a time."""
KINDS = {
    kind.__name__: kind
    for kind in (
        DecodeError,
        OpenError,
        errors.NoVideoError,
        errors.CorruptError,
        errors.TooLargeError,
    )
}

_servers: dict[str, ServerProcess] = {}
_lock = threading.Lock()
_numbers = itertools.count()


class IsolatedReader(VideoReader):
    """A video that `module.open_here(source, **options)` reads in another process.

    time_limit: seconds without a frame after which that process is killed.

    Raises OpenError, StuckError, ImportError; DecodeError where the process dies.
    """

    def __init__(
        self,
        module: str,
        decoder: str,
        source: Source,
        *,
        time_limit: float = 60.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.decoder, self.path, self.damaged = decoder, source_name(source), {}
        self._module, self._limit, self._number = module, time_limit, next(_numbers)
        self._source = _portable(source)
        self._options = dict(options or {})
        self.max_pixels = self._options.get("max_pixels", self.max_pixels)
        self._server: ServerProcess | None = None
        self._opened()

    def __len__(self) -> int:
        return self._length

    @property
    def times(self) -> np.ndarray:
        """See VideoReader.times."""
        _, times = self._ask(self._opened(), "times", (self._number,))
        return np.asarray(times)

    def stream(
        self, requests: Sequence[Request], form: str = "rgb"
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """See VideoReader.stream."""
        wanted = check_requests(self, requests)
        for portion in batched_rising(wanted, PORTION):
            chosen = set(portion)
            part = [
                Request(
                    [int(i) for i in request.indices if i in chosen], request.crop, request.size
                )
                for request in requests
            ]
            frames, damaged = self._ask(self._opened(), "read", (self._number, part, form))
            self.damaged.update(damaged)
            yield from frames

    def close(self) -> None:
        """See VideoReader.close; a later read opens the file again."""
        server, self._server = self._server, None
        if server is not None and server.alive:
            server.forget(self._number)

    def __del__(self) -> None:
        if getattr(self, "_server", None) is not None:
            self.close()

    def _opened(self) -> ServerProcess:
        """A server that has the file open."""
        server = _server(self._module)
        if server is not self._server:
            self._server = None
            opening = (self._number, self._source, self._options)
            _, about = self._ask(server, "open", opening)
            self._length, self.rate, self.size, self.codec, self.colour = about
            self._server = server
        return server

    def _ask(self, server: ServerProcess, verb: str, arguments: tuple) -> tuple[list[Any], Any]:
        """The frames and the value that answer a request."""
        try:
            frames, (kind, *rest) = server.ask(verb, arguments, self._limit)
        except ServerStuck:
            raise StuckError(
                self.path, f"no frame within {self._limit:g} s", decoder=self.decoder
            ) from None
        except ServerDied as error:
            raise DecodeError(
                self.path, f"the decoder's process died ({error})", decoder=self.decoder
            ) from None
        if kind == "done":
            return frames, rest[0]
        name, reason, frame = rest
        if name in ("ImportError", "ModuleNotFoundError"):
            raise ImportError(reason)
        if name in ("ValueError", "IndexError"):
            raise {"ValueError": ValueError, "IndexError": IndexError}[name](reason)
        raise KINDS.get(name, DecodeError)(self.path, reason, decoder=self.decoder, frame=frame)


def _server(module: str) -> ServerProcess:
    """The running server of this process for the module."""
    with _lock:
        server = _servers.get(module)
        if server is None or not server.alive:
            server = _servers[module] = ServerProcess(module)
        return server


def _portable(source: Source) -> str | bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | os.PathLike):
        return os.path.abspath(os.fspath(source))
    source.seek(0)
    return source.read()


def _end_all() -> None:
    for server in _servers.values():
        server.end()


def _after_fork() -> None:
    """A forked process shares pipes with its parent: let go of them, and start anew."""
    global _lock
    for server in _servers.values():
        server.disown()
    _servers.clear()
    _lock = threading.Lock()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
