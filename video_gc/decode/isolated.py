"""A decoder in its own process, which can be killed if it hangs.

Each reading process, forked ones too, starts one process per decoder at its first use.
"""

import atexit
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from video_gc.decode.reader import (
    DecodeError,
    OpenOptions,
    Request,
    Source,
    StuckError,
    VideoReader,
    check_requests,
    source_name,
)
from video_gc.decode.whole_frames import batched_rising
from video_gc.subprocess_call import ChildProcess, ProcessDied, ProcessStuck

PORTION = 32
"""Frames fetched at a time."""


class IsolatedReader(VideoReader):
    """A video that `module.open_here(source, options)` reads in another process, which is killed
    after `options.time_limit` seconds without a frame.

    Raises OpenError, StuckError, ImportError; DecodeError if the process dies.
    """

    def __init__(
        self,
        module: str,
        decoder: str,
        source: Source,
        options: OpenOptions = OpenOptions(),  # noqa: B008 - frozen
    ) -> None:
        self.decoder, self.path, self.damaged = decoder, source_name(source), {}
        self._module, self._limit, self._number = module, options.time_limit, next(_numbers)
        self._source, self._options = _portable(source), options
        self.max_pixels = options.max_pixels
        self._server: _Server | None = None
        self._opened()

    def __len__(self) -> int:
        return self._length

    @property
    def times(self) -> np.ndarray:
        """See VideoReader.times."""
        return np.asarray(self._ask(self._opened(), _times, self._number))

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
            *frames, damaged = self._ask(self._opened(), _frames, self._number, part, form)
            self.damaged.update(damaged)
            yield from frames

    def close(self) -> None:
        """See VideoReader.close; a later read reopens the file."""
        server, self._server = self._server, None
        if server is not None:
            server.forgotten.append(self._number)

    def __del__(self) -> None:
        if getattr(self, "_server", None) is not None:
            self.close()

    def _opened(self) -> "_Server":
        """A process with the file open."""
        server = _server(self._module)
        if server is not self._server:
            self._server = None
            about = self._ask(
                server, _open, self._number, self._module, self._source, self._options
            )
            self._length, self.rate, self.size, self.codec, self.colour = about
            self._server = server
        return server

    def _ask(self, server: "_Server", function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return server.ask(self._limit, function, *arguments)
        except ProcessStuck:
            reason = f"no frame within {self._limit:g} s"
            raise StuckError(self.path, reason, decoder=self.decoder) from None
        except ProcessDied as error:
            reason = f"the decoder's process died ({error})"
            raise DecodeError(self.path, reason, decoder=self.decoder) from None
        except DecodeError as error:  # its path is the other process's
            raise type(error)(
                self.path, error.reason, decoder=self.decoder, frame=error.frame
            ) from None
        except (ValueError, IndexError, ImportError):
            raise
        except Exception as error:
            raise DecodeError(self.path, str(error), decoder=self.decoder) from None


class _Server:
    """A process with open readers, for one request at a time."""

    def __init__(self) -> None:
        self.child = ChildProcess()
        self.forgotten: list[int] = []
        """readers to close before the next request"""
        self._lock = threading.Lock()

    def ask(self, limit: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """See ChildProcess.call."""
        with self._lock:
            if not self.child.alive:
                raise ProcessDied("it was killed for another video")
            while self.forgotten:
                self.child.call(limit, _close, self.forgotten.pop())
            return self.child.call(limit, function, *arguments)


_servers: dict[str, _Server] = {}
_lock = threading.Lock()
_numbers = itertools.count()


def _server(module: str) -> _Server:
    """The running process for the module."""
    with _lock:
        server = _servers.get(module)
        if server is None or not server.child.alive:
            server = _servers[module] = _Server()
        return server


def _end_all() -> None:
    for server in _servers.values():
        server.child.end()


def _after_fork() -> None:
    """A forked process shares pipes with its parent: close them and start anew."""
    global _lock
    for server in _servers.values():
        server.child.disown()
    _servers.clear()
    _lock = threading.Lock()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _portable(source: Source) -> str | bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | os.PathLike):
        return os.path.abspath(os.fspath(source))
    source.seek(0)
    return source.read()


# in the other process

_readers: dict[int, VideoReader] = {}


def _open(number: int, module: str, source: str | bytes, options: OpenOptions) -> tuple:
    reader = _readers[number] = import_module(module).open_here(source, options)
    return len(reader), reader.rate, reader.size, reader.codec, reader.colour


def _frames(
    number: int, requests: Sequence[Request], form: str
) -> Iterator[tuple[int, int, np.ndarray] | dict[int, str]]:
    """The frames, and finally which of them are damaged."""
    yield from _readers[number].stream(requests, form)
    yield _readers[number].damaged


def _times(number: int) -> np.ndarray:
    return _readers[number].times


def _close(number: int) -> None:
    _readers.pop(number).close()
