"""Frames as they come: from a camera, an address, a pipe or a file that is played.

A file is read as `open_video` reads it. Everything else is decoded from where it begins, once, and
what cannot be decoded is left out. A source without an end that breaks off is opened again, after
pauses of 1, 2, 4, … 30 s.
"""

import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from video_gc.decode.ffmpeg.container import error_text
from video_gc.decode.ffmpeg.live_input import (
    PROTOCOLS,
    Scale,
    Timed,
    decoded,
    open_camera,
    open_live,
)
from video_gc.decode.ffmpeg.paths import ADDRESS
from video_gc.decode.ffmpeg.source import TimeLimit, resolved
from video_gc.decode.open import open_video
from video_gc.decode.pyav import OPENING_ERRORS
from video_gc.decode.reader import MAX_PIXELS, DecodeError, OpenError, StuckError, decode_error

CAMERA = re.compile(r"\d+|/dev/video\d+")
SECRET = re.compile(r"(?<=://)[^/?#]*@")
PAUSES = (1, 2, 4, 8, 16, 30)
"""Seconds before each attempt to open a source again; the last one repeats."""
JUMP = 10.0
"""Seconds; time stamps that go back, or forward by more than this, are counted anew."""
LATE, CAUGHT_UP = 3.0, 0.2
"""Seconds that reading may be behind the source before frames are left out, and after it."""


class LiveFrame(NamedTuple):
    """A frame of a stream."""

    picture: np.ndarray
    """RGB, uint8 (H, W, 3), as shown; read-only"""
    seconds: float
    """since the first frame; an interruption counts with the time that it lasted"""
    gap: bool = False
    """whether frames are missing before this one: the source was opened again, its clock was set,
    or frames were left out to catch up"""


class Live:
    """Iterate over it for the frames (`LiveFrame`) of a source; call `close` to end it.

    source: a camera (`0` or `/dev/video0`, on Linux), an address (rtsp://, rtsps://, http://,
        https://), a file, or `-` for a video on standard input.
    fast: frames of a file are given as fast as they are read, not in real time.
    time_limit: most seconds for opening, and for each new frame. (A file has a minute.)
    report: is told in a line when a source breaks off.

    A file, standard input, and an address with a known duration end, and an error ends them. All
    else goes on until `close`: it is opened again if it ends or fails, unless it never gave a
    frame.

    Raises FileNotFoundError for a camera or a file that is not there, ValueError for another kind
    of source; while iterating OpenError, NoVideoError, TooLargeError, or StuckError after the time
    limit.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        fast: bool = False,
        time_limit: float = 5.0,
        max_pixels: int = MAX_PIXELS,
        report: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.source = os.fspath(source)
        self.name = "standard input" if self.source == "-" else SECRET.sub("", self.source)
        self.fast, self.time_limit, self.max_pixels = fast, time_limit, max_pixels
        self.reopened = 0
        """times that the source was opened again"""
        self.caught_up = 0
        """times that frames were left out because reading was late"""
        self.scale: Scale = None
        """(height, width) of the source → of the frames; scaled like the frames of a reader"""
        self._report, self._closed = report, threading.Event()
        scheme = self.source.partition(":")[0].lower() if ADDRESS.match(self.source) else ""
        if scheme and scheme not in PROTOCOLS:
            raise ValueError(
                f"source ({self.name}) must be a camera such as 0, an address that begins with "
                f"{', '.join(f'{name}://' for name in PROTOCOLS)}, a file, or - for standard input"
            )
        self._protocols = PROTOCOLS.get(scheme, "")
        self._is_camera = bool(CAMERA.fullmatch(self.source)) and not Path(self.source).is_file()
        if fast and (self._is_camera or scheme.startswith("rtsp")):
            raise ValueError(f"source ({self.name}) cannot be read faster than it happens")
        if self._is_camera:
            self._device = self.source if "/" in self.source else f"/dev/video{self.source}"
            if not os.path.exists(self._device):
                there = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"
                raise FileNotFoundError(f"{self._device}: no such camera; cameras here: {there}")
        self._is_file = not (self._is_camera or scheme or self.source == "-")
        self._hurry = False  # while frames are left out, only key frames are decoded
        if self.source == "-" and os.isatty(sys.stdin.fileno()):
            raise ValueError("source (-): standard input is a terminal; pipe a video into it")
        if self._is_file:
            resolved(self.source)

    def close(self) -> None:
        """End the iteration: after the frame that is being read, or at once during a pause."""
        self._closed.set()

    def __iter__(self) -> Iterator[LiveFrame]:
        return self._file() if self._is_file else self._live()

    def _file(self) -> Iterator[LiveFrame]:
        with open_video(self.source, damage="report", max_pixels=self.max_pixels) as reader:
            times, size = reader.times, self.scale(reader.size) if self.scale else None
            frames = reader.frames(range(len(reader)), size=size)
            given = (
                Timed(float(times[index]), False, partial(np.asarray, picture))
                for index, picture in frames
            )
            yield from self._in_time(given, _Clock(jump=math.inf), paced=True)

    def _live(self) -> Iterator[LiveFrame]:
        """Frames of each connection, one connection after the other."""
        clock, failures, ends = _Clock(), 0, False
        while True:
            reason = "it has ended"
            try:
                with self._connection() as (container, ends):
                    limits = self.time_limit, self.max_pixels
                    self._hurry = False
                    given = decoded(container, self.name, limits, self.scale, lambda: self._hurry)
                    for frame in self._in_time(given, clock, paced=ends):
                        yield frame
                        failures = 0
                if ends or self._closed.is_set():
                    return
            except Exception as error:  # a camera or an address can make FFmpeg raise anything
                found = self._error(error)
                if clock.last is None or ends:  # opened again, a recording would begin anew
                    raise found from error
                reason = found.reason
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            self._report(f"{self.name}: {reason}; it is opened again in {pause} s")
            failures += 1
            if self._wait(pause):
                return
            clock.restart()
            self.reopened += 1

    def _in_time(
        self, given: Iterable[Timed], clock: "_Clock", *, paced: bool
    ) -> Iterator[LiveFrame]:
        """The frames with their seconds, without those that come too late.

        paced: wait until each is due.
        """
        for stamp, waited, picture in given:
            seconds, gap = clock.place(stamp)
            if self._wait(seconds - clock.now() if paced and not self.fast else 0):
                return
            behind = 0.0 if self.fast or self._is_file else clock.behind(waited)
            if behind > (CAUGHT_UP if self._hurry else LATE):
                self.caught_up += not self._hurry
                self._hurry = True
                continue
            yield LiveFrame(picture(), seconds, gap or self._hurry)
            self._hurry = False

    def _wait(self, seconds: float) -> bool:
        """Wait; returns whether the iteration is to end."""
        return self._closed.wait(seconds) if seconds > 0 else self._closed.is_set()

    @contextmanager
    def _connection(self) -> Iterator[tuple[Any, bool]]:
        """An open container, and whether it ends by itself."""
        limit = TimeLimit(self.time_limit + 1, self.name, "gave no answer within {}")
        # in a thread: FFmpeg does not limit the look-up of a host's name
        container = limit.run(self._open)
        try:
            yield container, self.source == "-" or container.duration is not None
        finally:
            container.close()

    def _open(self) -> Any:
        if self._is_camera:
            return open_camera(self._device, self.time_limit)
        address = None if self.source == "-" else self.source
        return open_live(address, self.time_limit, self.max_pixels)

    def _error(self, error: Exception) -> DecodeError:
        """The error as one line with the name of the source, and without its password."""
        if isinstance(error, av.error.ExitError | TimeoutError):
            return StuckError(self.name, f"gave no frame within {self.time_limit:g} s")
        if isinstance(error, OPENING_ERRORS):
            hint = "; in a pipe MP4 needs its index first, MPEG-TS or Matroska nothing"
            hint = hint if self.source == "-" and isinstance(error, av.InvalidDataError) else ""
            return OpenError(self.name, f"cannot be read ({error_text(error)}{hint})")
        return decode_error(self.name, error)


class _Clock:
    """Seconds of each frame since the first: by the source's time stamps while they rise steadily,
    and otherwise by this machine's clock."""

    def __init__(self, jump: float = JUMP) -> None:
        self._jump = jump
        self.last: float | None = None
        """seconds of the latest frame"""
        self._begun, self._fresh, self._late = 0.0, False, 0.0
        self._shift: float | None = None

    def now(self) -> float:
        """Seconds since the first frame came."""
        return time.monotonic() - self._begun

    def restart(self) -> None:
        """The source was opened again: its stamps may count from anywhere."""
        self._shift, self._fresh, self._late = None, True, 0.0

    def place(self, stamp: float | None) -> tuple[float, bool]:
        """Seconds of the next frame, and whether frames are missing before it."""
        if self.last is None:
            self._begun = time.monotonic()
        least = self.last or 0.0
        now = 0.0 if self.last is None else max(self.now(), least)
        seconds = now if stamp is None or self._shift is None else stamp + self._shift
        # between key frames, while only those are decoded, may lie more than a jump
        jump = not least <= seconds <= max(least + self._jump, now)
        if jump:
            seconds = now
        if stamp is not None and (jump or self._shift is None):
            self._shift = seconds - stamp
        gap = self.last is not None and (jump or self._fresh)
        self.last, self._fresh = seconds, False
        return seconds, gap

    def behind(self, waited: bool) -> float:
        """Seconds that the latest frame waited to be read; none, if it was waited for."""
        late = self.now() - (self.last or 0.0)
        if waited or late < self._late:  # not at once: the source's clock may be slower than ours
            self._late = late
        return late - self._late
