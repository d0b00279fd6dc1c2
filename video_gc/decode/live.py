"""Frames as they come: from a camera, an address, a pipe or a file that is played.

A file is read as `open_video` reads it. Everything else is decoded from where it begins, once, and
what cannot be decoded is left out. A source that breaks off is opened again, after pauses of 1, 2,
4, … 30 s. FFmpeg gets the right to use the network only for an address, and never to open files.
"""

import os
import re
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from video_gc.decode.ffmpeg.container import (
    ALLOWED,
    NOTHING,
    coded_pixels,
    error_text,
    stream_packets,
    video_stream,
)
from video_gc.decode.ffmpeg.graph import FilterGraph, look_of
from video_gc.decode.ffmpeg.presentation import pixel_shape, presentation_of
from video_gc.decode.ffmpeg.source import ADDRESS, TimeLimit, resolved
from video_gc.decode.open import open_video
from video_gc.decode.pyav import OPENING_ERRORS
from video_gc.decode.reader import MAX_PIXELS, DecodeError, OpenError, StuckError, decode_error

PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto",
    "http": "http,httpproxy,https,tcp,tls,crypto",
    "https": "http,httpproxy,https,tcp,tls,crypto",
}
"""Scheme of an address → the protocols that FFmpeg may use for it."""
CAMERA = re.compile(r"\d+|/dev/video\d+")
SECRET = re.compile(r"(?<=://)[^/?#]*@")
PAUSES = (1, 2, 4, 8, 16, 30)
"""Seconds before each attempt to open a source again; the last one repeats."""
JUMP = 10.0
"""Seconds; time stamps that go back, or forward by more than this, are counted anew."""
ANALYSIS = 1_000_000
"""Microseconds of a stream that FFmpeg may examine before it gives the first frame."""


class LiveFrame(NamedTuple):
    """A frame of a stream."""

    picture: np.ndarray
    """RGB, uint8 (H, W, 3), as shown; read-only"""
    seconds: float
    """since the first frame; an interruption counts with the time that it lasted"""
    gap: bool = False
    """whether frames are missing before this one: the source was opened again, or its clock set"""


class Live:
    """Iterate over it for the frames (`LiveFrame`) of a source; call `close` to end it.

    source: a camera (`0` or `/dev/video0`, on Linux), an address (rtsp://, rtsps://, http://,
        https://), a file, or `-` for a video on standard input.
    fast: frames of a file are given as fast as they are read, not in real time.
    time_limit: most seconds for opening, and for each new frame. (A file has a minute.)
    report: is told in a line when a source breaks off.

    A file, standard input, and an address with a known duration end. All else goes on until
    `close`: it is opened again if it ends or fails, unless it never gave a frame.

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
        elif self.source == "-":
            if os.isatty(sys.stdin.fileno()):
                raise ValueError("source (-): standard input is a terminal; pipe a video into it")
        elif not scheme:
            resolved(self.source)

    def close(self) -> None:
        """End the iteration: after the frame that is being read, or at once during a pause."""
        self._closed.set()

    def __iter__(self) -> Iterator[LiveFrame]:
        if self._is_camera or self._protocols or self.source == "-":
            yield from self._live()
        else:
            yield from self._file()

    def _file(self) -> Iterator[LiveFrame]:
        with open_video(self.source, damage="report", max_pixels=self.max_pixels) as reader:
            times, begun = reader.times, time.monotonic()
            for index, picture in reader.frames(range(len(reader))):
                seconds = float(times[index])
                if self._wait(0 if self.fast else begun + seconds - time.monotonic()):
                    return
                yield LiveFrame(picture, seconds)

    def _live(self) -> Iterator[LiveFrame]:
        """Frames of each connection, one connection after the other."""
        clock, failures = _Clock(), 0
        while True:
            reason = "it has ended"
            try:
                with self._connection() as (container, ends):
                    for picture, stamp in self._decoded(container):
                        seconds, gap = clock.place(stamp)
                        if self._wait(seconds - clock.now() if ends and not self.fast else 0):
                            return
                        yield LiveFrame(picture, seconds, gap)
                        failures = 0
                if ends:
                    return
            except Exception as error:  # a camera or an address can make FFmpeg raise anything
                found = self._error(error)
                if clock.last is None or self.source == "-":
                    raise found from error
                reason = found.reason
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            self._report(f"{self.name}: {reason}; it is opened again in {pause} s")
            failures += 1
            if self._wait(pause):
                return
            clock.restart()
            self.reopened += 1

    def _wait(self, seconds: float) -> bool:
        """Wait; returns whether the iteration is to end."""
        return self._closed.wait(seconds) if seconds > 0 else self._closed.is_set()

    @contextmanager
    def _connection(self) -> Iterator[tuple[Any, bool]]:
        """An open container, and whether it ends by itself."""
        limit = TimeLimit(self.time_limit + 1, self.name, "gave no answer within {}")
        container = limit.run(self._open)  # FFmpeg does not limit the look-up of a name
        try:
            yield container, self.source == "-" or container.duration is not None
        finally:
            container.close()

    def _open(self) -> Any:
        options = {"max_pixels": coded_pixels(self.max_pixels), "analyzeduration": str(ANALYSIS)}
        if self._is_camera:
            return av.open(self._device, "r", format="v4l2", timeout=self.time_limit)
        options["format_whitelist"] = ALLOWED
        file: Any = self.source
        if self.source == "-":
            options["protocol_whitelist"] = NOTHING
            file = _Pipe(sys.stdin.fileno(), self.time_limit)
        else:
            options["protocol_whitelist"] = self._protocols
            if self._protocols.startswith("rtsp"):
                options["format_whitelist"] += ",rtsp,sdp,rtp"
                options["rtsp_transport"] = "tcp"
        begun = time.monotonic()
        try:
            return av.open(
                file, "r", options=options, timeout=self.time_limit, metadata_errors="replace"
            )
        except av.InvalidDataError:
            if time.monotonic() - begun < self.time_limit:
                raise
            raise TimeoutError from None  # FFmpeg's words for an RTSP server without an answer

    def _decoded(self, container: Any) -> Iterator[tuple[np.ndarray, float | None]]:
        """Each picture, and its time stamp in seconds.

        Raises StuckError if nothing can be decoded within the time limit.
        """
        stream = video_stream(container, self.name, self.max_pixels)
        stream.thread_type = "SLICE"  # threads for whole frames would each delay by a frame
        look: Any = None
        deadline = time.monotonic() + self.time_limit
        for packet in chain(stream_packets(container, stream), (None,)):
            try:
                frames = stream.decode(packet)
            except av.InvalidDataError:
                frames = []  # bytes that were lost on the way
            for frame in frames:
                if look != look_of(frame):
                    look = look_of(frame)
                    shown = presentation_of(frame, pixel_shape(stream))
                    graph = FilterGraph(frame, stream.time_base, shown)
                stamp = None if frame.pts is None else float(frame.pts * stream.time_base)
                yield graph.convert(frame), stamp
                deadline = time.monotonic() + self.time_limit
            if time.monotonic() > deadline:
                raise StuckError(self.name, f"no frame could be decoded for {self.time_limit:g} s")

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

    def __init__(self) -> None:
        self.last: float | None = None
        """seconds of the latest frame"""
        self._begun, self._fresh = 0.0, False
        self._shift: float | None = None

    def now(self) -> float:
        """Seconds since the first frame came."""
        return time.monotonic() - self._begun

    def restart(self) -> None:
        """The source was opened again: its stamps may count from anywhere."""
        self._shift, self._fresh = None, True

    def place(self, stamp: float | None) -> tuple[float, bool]:
        """Seconds of the next frame, and whether frames are missing before it."""
        if self.last is None:
            self._begun = time.monotonic()
        least = self.last or 0.0
        now = max(self.now(), least)
        seconds = now if stamp is None or self._shift is None else stamp + self._shift
        jump = not least <= seconds <= least + JUMP
        if jump:
            seconds = now
        if stamp is not None and (jump or self._shift is None):
            self._shift = seconds - stamp
        gap = self.last is not None and (jump or self._fresh)
        self.last, self._fresh = seconds, False
        return seconds, gap


class _Pipe:
    """A pipe that PyAV reads; a read that waits beyond the limit raises StuckError."""

    def __init__(self, number: int, time_limit: float) -> None:
        self._number, self._time_limit = number, time_limit

    def read(self, count: int) -> bytes:
        if not select.select([self._number], [], [], self._time_limit)[0]:
            raise StuckError("standard input", f"gave nothing for {self._time_limit:g} s")
        return os.read(self._number, count)
