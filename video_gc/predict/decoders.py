"""A few processes that decode videos; one that a file kills or hangs is replaced."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError, decode_error
from video_gc.deploy.contract import Contract
from video_gc.predict.views import window_frames, window_times, window_views
from video_gc.subprocess_call import (
    ENDED,
    ITEM,
    RAISED,
    RETURNED,
    ChildProcess,
    ProcessDied,
    ProcessStuck,
)

START = 300.0
"""Most seconds for a process to start, also from a slow file system."""
PAUSE = 1.0
"""Seconds before another attempt to start one that could not be started."""


@dataclass(frozen=True)
class ReadLimits:
    """What is decoded of one video, and for how long."""

    max_pixels: int
    """of a picture"""
    max_seconds: float
    """of the video"""
    time_limit: float
    """seconds for a frame"""


class Windows(NamedTuple):
    """The windows of a video, before they are decoded."""

    times: list[tuple[float, float]]
    """(start, end), s"""
    rate: float
    """of the video, Hz"""
    seconds: float
    """length of the video"""


class TooLongError(DecodeError):
    """A video lasts longer than is accepted."""


def read_windows(
    source: str | bytes,
    contract: Contract,
    limits: ReadLimits,
    overlap: float = 0.0,
    only: int | None = None,
) -> Iterator[Windows | np.ndarray | int]:
    """Yield the windows of a video, then each view (T, H, W, 3), then the number of damaged frames.

    source: a path, or the bytes of a file. overlap: share of a window that the next one sees too.
    only: the number of the one window to yield.
    Raises DecodeError; TooLongError for a video that lasts longer than `max_seconds`.
    """
    most = limits.max_seconds
    name = source if isinstance(source, str) else "the file"
    try:
        with open_video(
            source,
            damage="report",
            max_pixels=limits.max_pixels,
            time_limit=limits.time_limit,
        ) as reader:
            length = float(reader.times[-1]) + 1 / reader.rate
            if length > most:
                raise TooLongError(
                    name,
                    f"the video lasts {length:,.0f} s, and at most {most:g} s are accepted "
                    "(--max-seconds); send a part of it",
                )
            windows = window_frames(contract, reader, overlap)
            yield Windows(window_times(reader, windows), reader.rate, length)
            wanted = windows if only is None else windows[only : only + 1]
            yield from window_views(contract, reader, wanted)
            yield len(reader.damaged)
    except Exception as error:  # a file can make decoders raise anything
        raise decode_error(name, error) from error


class NoDecoderError(OSError):
    """No process that decodes is left, and none can be started."""


class Decoders:
    """`count` processes, each decoding one video at a time; close them at the end.

    Raises OSError if they cannot be started.
    """

    def __init__(self, count: int) -> None:
        self.count, self._failure = count, ""
        self._missing, self._counting = 0, threading.Lock()
        self._wanted: queue.Queue[bool] = queue.Queue()
        self._closing = threading.Event()
        self.idle: queue.Queue[ChildProcess | None] = queue.Queue()
        for child in [_begun() for _ in range(count)]:  # all start at the same time
            self.idle.put(_ready(child))
        threading.Thread(target=self._start_missing, name="decoders", daemon=True).start()

    @property
    def alive(self) -> int:
        """Processes that work or can; one that is being replaced counts unless that fails."""
        return self.count - (self._missing if self._failure else 0)

    def run(
        self,
        left: Callable[[], float],
        function: Callable[..., Iterator[Any]],
        *arguments: Any,
        wait: float | None = None,
    ) -> Generator[Any, None, None]:
        """Yield what `function(source, …)`, such as `read_windows`, yields in one of the processes.

        left: most seconds for each item, and, without `wait`, until a process is free.

        Raises queue.Empty if no process is free in time, ProcessStuck if an item does not come,
        DecodeError if the process dies, NoDecoderError if none is left and none can be started,
        and the function's errors. Close it, if you stop early.
        """
        child, kind = self._begin(left, wait, function, arguments), None
        try:
            while kind not in (ENDED, RAISED):
                kind, value = child.answer(left())
                if kind == ITEM:
                    yield value
            if kind == RAISED:
                raise value
        except ProcessDied as error:
            name = arguments[0] if isinstance(arguments[0], str) else "the file"
            raise DecodeError(name, f"the decoder's process died ({error})") from None
        finally:
            if kind in (ENDED, RAISED):
                self.idle.put(child)
            else:  # it would answer to the next request
                child.end()
                self._replace()

    def close(self) -> None:
        """Wait for the videos in work, and end the processes."""
        self._closing.set()
        for _ in range(self.count):
            if child := self.idle.get():
                child.end()
        self._wanted.put(False)

    def _begin(
        self,
        left: Callable[[], float],
        wait: float | None,
        function: Callable[..., Iterator[Any]],
        arguments: tuple[Any, ...],
    ) -> ChildProcess:
        """The process that begins with the function."""
        deadline = time.monotonic() + (left() if wait is None else wait)
        while True:
            if not self.alive:
                raise NoDecoderError(
                    f"no process that decodes can be started ({self._failure}); free some memory"
                )
            waits = max(deadline - time.monotonic(), 0.0)
            try:
                child = self.idle.get(timeout=min(waits, PAUSE))
            except queue.Empty:
                if waits <= PAUSE:
                    raise
                continue
            if child is None:
                self.idle.put(None)  # for `close`
                raise NoDecoderError("the decoders are closed")
            try:
                child.begin(left(), function, *arguments)
            except ProcessDied:  # while it was idle
                self._replace()
            except BaseException:
                self.idle.put(child)
                raise
            else:
                return child

    def _replace(self) -> None:
        """Let another process start, meanwhile; others may be free before it is ready."""
        with self._counting:
            self._missing += 1
        self._wanted.put(True)

    def _start_missing(self) -> None:
        """Start a process for each that ended, again and again if that fails, until `close`."""
        while self._wanted.get():
            child = None
            while child is None and not self._closing.is_set():
                try:
                    child = _ready(_begun())
                    self._failure = ""
                except Exception as error:
                    self._failure = str(error)
                    self._closing.wait(PAUSE)  # there may be memory by then
            with self._counting:
                self._missing -= 1
            self.idle.put(child)


def _begun() -> ChildProcess:
    """A new process that imports this file, which takes seconds. Raises OSError."""
    child = ChildProcess()
    try:
        child.begin(None, _nothing)
    except ProcessDied as error:
        raise OSError(f"a process that decodes cannot start ({error})") from error
    return child


def _ready(child: ChildProcess) -> ChildProcess:
    """The process when it has imported this file. Raises OSError."""
    try:
        kind = None
        while kind != RETURNED:
            kind, value = child.answer(START)
            if kind == RAISED:
                raise OSError(f"a process that decodes cannot start ({value})")
    except (ProcessDied, ProcessStuck) as error:
        raise OSError(f"a process that decodes cannot start ({error})") from error
    return child


def _nothing() -> None:
    """The first call of a process."""
