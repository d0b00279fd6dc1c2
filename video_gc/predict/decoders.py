"""A few processes that decode videos; one that a file kills or hangs is replaced."""

import queue
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


class Decoders:
    """`count` processes, each decoding one video at a time; close them at the end.

    Raises OSError if they cannot be started.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.idle: queue.Queue[ChildProcess] = queue.Queue()
        for child in [_begun() for _ in range(count)]:  # all start at the same time
            self.idle.put(_ready(child))

    def run(
        self, left: Callable[[], float], function: Callable[..., Iterator[Any]], *arguments: Any
    ) -> Generator[Any, None, None]:
        """Yield what `function(source, …)`, such as `read_windows`, yields in one of the processes.

        left: most seconds to wait for a process, and for each item.

        Raises queue.Empty if no process is free in time, ProcessStuck if an item does not come,
        DecodeError if the process dies, OSError if no other one can be started, and the function's
        errors. Close it, if you stop early.
        """
        child = self.idle.get(timeout=left())
        kind = None
        try:
            try:
                child.begin(left(), function, *arguments)
            except ProcessDied:  # while it was idle, or in its last call
                child = _ready(_begun())
                child.begin(left(), function, *arguments)
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
            if kind not in (ENDED, RAISED):  # it would answer to the next request
                child.end()
            self.idle.put(child)

    def close(self) -> None:
        """Wait for the videos in work, and end the processes."""
        for _ in range(self.count):
            self.idle.get().end()


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
