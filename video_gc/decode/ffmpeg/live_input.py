"""Open a camera, an address or standard input with FFmpeg, and decode what comes.

An address gives FFmpeg the right to use its protocol; no source gives the right to open files.
"""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import av
import numpy as np

from video_gc.decode.ffmpeg.container import (
    ALLOWED,
    NOTHING,
    coded_pixels,
    stream_packets,
    video_stream,
)
from video_gc.decode.ffmpeg.graph import FilterGraph, look_of
from video_gc.decode.ffmpeg.presentation import pixel_shape, presentation_of
from video_gc.decode.reader import StuckError, check_picture

PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto",
    "http": "http,httpproxy,https,tcp,tls,crypto",
    "https": "http,httpproxy,https,tcp,tls,crypto",
}
"""Scheme of an address → the protocols that FFmpeg may use for it."""
WAITED = 0.005
"""Seconds; a read that took longer had to wait for the source, so no frames are waiting."""
KEY_FRAME = 60.0
"""Most seconds to wait for a key frame while only those are decoded; some streams have no more."""
ANALYSIS = 1_000_000
"""Microseconds of a stream that FFmpeg may examine before it gives the first frame."""

Scale = Callable[[tuple[int, int]], tuple[int, int]] | None
"""(height, width) of the source → of its frames; None: the same."""


class Timed(NamedTuple):
    """A decoded frame that is not converted yet."""

    stamp: float | None
    """seconds, from anywhere"""
    waited: bool
    """whether the source had nothing more to read before it"""
    picture: Callable[[], np.ndarray]
    """RGB, uint8 (H, W, 3)"""


def open_camera(device: str, time_limit: float) -> Any:
    """A camera such as /dev/video0, with Video4Linux. Raises FFmpeg's errors."""
    return av.open(device, "r", format="v4l2", timeout=time_limit)


def open_live(address: str | None, time_limit: float, max_pixels: int) -> Any:
    """FFmpeg's container of an address, or of standard input without one.

    time_limit: most seconds for opening, and for each later read.
    Raises StuckError, TimeoutError or ExitError after it; FFmpeg's errors.
    """
    options = {
        "max_pixels": coded_pixels(max_pixels),
        "analyzeduration": str(ANALYSIS),
        "format_whitelist": ALLOWED,
        "protocol_whitelist": NOTHING,
    }
    file: Any = address
    if address is None:
        file = _Pipe(sys.stdin.fileno(), time_limit)
    else:
        scheme = address.partition(":")[0].lower()
        options["protocol_whitelist"] = PROTOCOLS[scheme]
        if scheme.startswith("rtsp"):
            options["format_whitelist"] += ",rtsp,sdp,rtp"
            options["rtsp_transport"] = "tcp"
    begun = time.monotonic()
    try:
        return av.open(file, "r", options=options, timeout=time_limit, metadata_errors="replace")
    except av.InvalidDataError:
        if time.monotonic() - begun < time_limit:
            raise
        raise TimeoutError from None  # FFmpeg's words for an RTSP server without an answer


def decoded(
    container: Any, name: str, limits: tuple[float, int], scale: Scale, hurry: Callable[[], bool]
) -> Iterator[Timed]:
    """Each frame that can be decoded; others are left out.

    name: for messages. limits: time_limit, max_pixels. scale: see `Live.scale`. hurry: whether to
    decode key frames only, asked before each packet.
    Raises StuckError if nothing can be decoded within the time limit, or no key frame comes.
    """
    time_limit, max_pixels = limits
    stream = video_stream(container, name, max_pixels)
    stream.thread_type = "SLICE"  # threads for whole frames would each delay by a frame
    packets = chain(stream_packets(container, stream), (None,))
    pictures = _Pictures(stream, scale, name, max_pixels)
    asked = latest = time.monotonic()
    for packet in packets:
        waited = time.monotonic() - asked > WAITED
        stream.codec_context.skip_frame = "NONKEY" if hurry() else "DEFAULT"
        try:
            frames = stream.decode(packet)
        except av.InvalidDataError:
            frames = []  # bytes that were lost on the way
        for frame in frames:
            stamp = None if frame.pts is None else float(frame.pts * stream.time_base)
            yield Timed(stamp, waited, partial(pictures.convert, frame))
        asked = time.monotonic()
        latest = asked if frames else latest
        if asked - latest > (KEY_FRAME if hurry() else time_limit):
            what = "no key frame came" if hurry() else "no frame could be decoded"
            raise StuckError(name, f"{what} for {asked - latest:.0f} s")


class _Pictures:
    """Converts the frames of a stream, whose size may change."""

    def __init__(self, stream: Any, scale: Scale, name: str, max_pixels: int) -> None:
        self._stream, self._scale, self._look = stream, scale, ()
        self._name, self._max_pixels = name, max_pixels

    def convert(self, frame: Any) -> np.ndarray:
        """RGB, uint8 (H, W, 3), as shown."""
        if self._look != look_of(frame):
            shown = presentation_of(frame, pixel_shape(self._stream))
            check_picture(self._name, shown.size, self._max_pixels)
            self._look = look_of(frame)
            size = self._scale(shown.size) if self._scale else None
            self._graph = FilterGraph(frame, self._stream.time_base, shown, size=size)
        return self._graph.convert(frame)


class _Pipe:
    """A pipe that PyAV reads; a read that waits beyond the limit raises StuckError."""

    def __init__(self, number: int, time_limit: float) -> None:
        self._number, self._time_limit = number, time_limit

    def read(self, count: int) -> bytes:
        if not select.select([self._number], [], [], self._time_limit)[0]:
            raise StuckError("standard input", f"gave nothing for {self._time_limit:g} s")
        return os.read(self._number, count)
