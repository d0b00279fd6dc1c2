"""PyAV decodes few pictures, and exactly the right ones, because each frame's packet is known.

- The file is demuxed once. Its packets say which picture each frame is (frame_table/packets.py).
- Decoding goes from the last key frame before a wanted frame to that frame, and no further.
- Unwanted pictures that no other picture refers to are not decoded.
- One filter graph crops, scales and converts to RGB. It gets the wanted frames only.

If packets do not say which frame they are, all frames are decoded and counted from the start.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import chain, pairwise
from typing import Any, BinaryIO

import av
import numpy as np

from video_gc.decode.ffmpeg.container import error_text, open_container, opened, video_stream
from video_gc.decode.ffmpeg.damage import OrderedFrames, Shown, count_through
from video_gc.decode.ffmpeg.graph import FilterGraph, look_of
from video_gc.decode.ffmpeg.packet_decoder import PacketDecoder
from video_gc.decode.ffmpeg.presentation import pixel_shape, presentation_of
from video_gc.decode.ffmpeg.source import Held, hold
from video_gc.decode.ffmpeg.unprobed import is_probed
from video_gc.decode.frame_table.packets import Packets, UnsoundError, Window
from video_gc.decode.losses.find import find_losses
from video_gc.decode.reader import (
    CorruptError,
    DecodeError,
    OpenError,
    OpenOptions,
    Request,
    Source,
    StuckError,
    VideoReader,
    check_requests,
    source_name,
)
from video_gc.subprocess_call import heartbeat

PYAV_ERRORS = (av.FFmpegError, ArithmeticError, LookupError, MemoryError, UnicodeError)
"""PyAV's errors for a file."""
OPENING_ERRORS = (*PYAV_ERRORS, ValueError)
"""after opening, a ValueError means an impossible request"""


def open_reader(source: Source, options: OpenOptions) -> "Reader":
    """See `open_video`. Raises OpenError, NoVideoError, TooLargeError."""
    if options.device != "cpu":
        raise ValueError(f"decoder pyav decodes on the CPU, not on device={options.device}")
    return Reader(source, options)


class Reader(VideoReader):
    """A video; see VideoReader."""

    decoder = "pyav"

    def __init__(self, source: Source, options: OpenOptions) -> None:
        self.path, self.damaged, self._reads = source_name(source), {}, 0
        self._strict, self._time_limit = options.damage == "raise", options.time_limit
        self.max_pixels = options.max_pixels
        self._containers = list[Any]()
        self._source: bytes | BinaryIO | Held = b""
        try:
            self._source = hold(source)
            self._open(options.threads)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return self._count

    @property
    def times(self) -> np.ndarray:
        """See VideoReader.times."""
        with self._errors(CorruptError, "cannot read the time stamps"):
            return self._packets.times() if self._packets.exact else self._counted_times

    def stream(
        self, requests: Sequence[Request], form: str = "rgb"
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """See VideoReader.stream."""
        wanted = check_requests(self, requests)
        askers: dict[int, list[int]] = {index: [] for index in wanted}
        for number, request in enumerate(requests):
            for index in {int(index) for index in request.indices}:
                askers[index].append(number)
        graphs: dict[tuple[Any, ...], FilterGraph] = {}

        def convert(frame: Any, index: int) -> list[np.ndarray]:
            return [self._convert(frame, n, requests[n], form, graphs) for n in askers[index]]

        self._reads += 1
        own, ordered = self._reads, OrderedFrames(wanted, convert, self._codec.losses)
        for index, pictures, problem in self._wanted(wanted, ordered):
            if problem:
                if self._strict or not pictures:
                    raise CorruptError(
                        self.path,
                        f"frame {index} of {len(self)} is {problem}; "
                        "`video-gc prepare check` lists damaged files",
                        decoder=self.decoder,
                        frame=index,
                    )
                self.damaged[index] = problem.split(" ")[0]
            for number, picture in zip(askers[index], pictures, strict=True):
                yield number, index, picture
            if own != self._reads:
                raise RuntimeError(f"{self.path}: another read of this reader has begun")

    def close(self) -> None:
        """See VideoReader.close."""
        for container in self._containers:
            container.close()
        if isinstance(self._source, Held):
            self._source.close()

    def __del__(self) -> None:  # the garbage collector does not see FFmpeg's memory
        if hasattr(self, "_source"):
            self.close()

    def _open(self, threads: int) -> None:
        # without a reference to this reader: a cycle would delay the release of FFmpeg's memory
        self._limits: Any = {"time_limit": self._time_limit, "max_pixels": self.max_pixels}
        own: Any = {"kept": self._containers, "probe": False, **self._limits}
        reopen = partial(open_container, self._source, **own)
        container = reopen()
        stream = video_stream(container, self.path, self.max_pixels)
        self._stream, losses = stream, find_losses(self._source, container, stream)
        self._codec = PacketDecoder(stream.codec_context, threads, losses)
        self.codec = self._codec.name
        self._probed = is_probed(container)
        with self._errors(OpenError, "cannot be read as a video", OPENING_ERRORS):
            self._packets = Packets(container, stream, reopen, self._source)
            if self._packets.gap is not None:
                losses.move(self._packets.gap)
            first = self._first_frame()
            self._count = len(self._packets) if self._packets.exact else self._count_frames()
        if first is None or not self._count:
            most = f"pictures may have at most {self.max_pixels:,} pixels (max_pixels)"
            raise OpenError(self.path, f"no frame can be decoded; {most}")
        with self._errors(OpenError, "cannot be shown", OPENING_ERRORS):
            self._shown = presentation_of(first, pixel_shape(stream))
        self.size, self.colour = self._shown.size, self._shown.colour
        self.rate = float(stream.average_rate or stream.guessed_rate or 25)

    def _first_frame(self) -> Any:
        """One frame, for facts only in a frame: the rotation, the size after the codec's crop."""
        first = self._packets.first
        for alone in (True, False):  # a key frame can be decoded alone, unless it is hidden
            packets = filter(None, (first,)) if alone else self._packets.from_start()
            self._codec.restart()
            deadline = time.monotonic() + self._time_limit
            for packet in chain(packets, (None,)):
                frames, _ = self._codec.decode(packet)
                if frames:
                    return frames[0]
                self._check_time(deadline)
        return None

    def _wanted(self, wanted: list[int], ordered: OrderedFrames) -> Iterator[Shown]:
        """The wanted frames by the table, or by counting if the table is unsound."""
        if self._packets.exact:
            try:
                yield from self._table(wanted, ordered)
                return
            except UnsoundError:
                self._recount()
        yield from self._counted(ordered)

    def _recount(self) -> None:
        """Count the frames of a file with a wrong index."""
        promised = self._count
        with self._errors(CorruptError, "cannot decode"):
            self._count = self._count_frames()
        if self._count != promised:
            raise CorruptError(
                self.path,
                f"its index promises {promised} frames, and {self._count} can be decoded; "
                "`video-gc prepare resize` writes a sound copy",
                decoder=self.decoder,
            )

    def _table(self, wanted: list[int], ordered: OrderedFrames) -> Iterator[Shown]:
        """The wanted frames by the table of packets, group of pictures by group of pictures."""
        with self._errors(CorruptError, "cannot decode"):
            for window, indices in self._packets.windows(wanted):
                for start, end, inside in window.spans(indices):
                    yield from self._span(window, start, end, inside, ordered)
            yield from ordered.rest()

    def _span(
        self, window: Window, start: int, end: int, indices: dict[int, int], ordered: OrderedFrames
    ) -> Iterator[Shown]:
        """Decode the packets start…end. indices: position → frame index, for the wanted ones."""
        shown = start + np.flatnonzero(window.table.shown[start : end + 1])
        place = dict(zip(window.pts[shown].tolist(), shown.tolist(), strict=True))
        ordered.begin(window)
        deadline = time.monotonic() + self._time_limit
        self._codec.restart()
        for position in (*range(start, end + 1), None):
            packet = None if position is None else window.packet(position)
            frames, cause = self._codec.decode(packet, wanted=position in indices)
            if cause:
                ordered.damage(end if position is None else position, cause)
            for frame in frames:
                at = place.get(frame.pts)
                if at is None:  # from a picture before the span
                    continue
                if frame.is_corrupt:
                    ordered.damage(at, "it refers to damaged data")
                yield from ordered.shown(at, frame, indices.get(at))
                deadline = time.monotonic() + self._time_limit
            self._check_time(deadline)
        yield from ordered.end()

    def _counted(self, ordered: OrderedFrames) -> Iterator[Shown]:
        """The wanted frames by decoding from the start and counting."""
        with self._errors(CorruptError, "cannot decode"):
            for index, frame, problem in self._count_through():
                if (yield from ordered.counted(index, frame, problem)):
                    break
            yield from ordered.rest()

    def _count_frames(self) -> int:
        """Frames of a sequential decode; their times are kept."""
        rate = float(self._stream.average_rate or 25)
        base = float(self._stream.time_base or 1 / rate)
        stamps = [
            index / rate if frame.pts is None else frame.pts * base
            for index, frame, _ in self._count_through()
        ]
        rising = all(a < b for a, b in pairwise(stamps))
        seconds = np.array(stamps) if rising else np.arange(len(stamps)) / rate
        self._counted_times = seconds - seconds[:1]
        return len(stamps)

    def _count_through(self) -> Iterator[tuple[int, Any, str | None]]:
        deadline = time.monotonic() + self._time_limit

        def beat(frame_came: bool) -> None:
            nonlocal deadline
            if frame_came:
                deadline = time.monotonic() + self._time_limit
            self._check_time(deadline)

        # many decoders keep pictures when flushed, and the order of frames may depend on probing
        if not self._packets.begins_at_start or not self._probed:
            with opened(self._source, **self._limits) as (_, stream):
                self._codec = self._codec.anew(stream.codec_context)
            self._probed = True
        return count_through(self._packets.from_start(), self._codec, beat)

    def _convert(
        self,
        frame: Any,
        number: int,
        request: Request,
        form: str,
        graphs: dict[tuple[Any, ...], FilterGraph],
    ) -> np.ndarray:
        key = (number, *look_of(frame))
        if key not in graphs:
            base = self._stream.time_base or Fraction(1, 25)
            graphs[key] = FilterGraph(frame, base, self._shown, request.crop, request.size, form)
        return graphs[key].convert(frame)

    def _check_time(self, deadline: float) -> None:
        heartbeat()
        if time.monotonic() > deadline:
            raise StuckError(
                self.path,
                f"no frame within {self._time_limit:g} s (time_limit)",
                decoder=self.decoder,
            )

    @contextmanager
    def _errors(
        self, kind: type[DecodeError], what: str, caught: tuple[type[Exception], ...] = PYAV_ERRORS
    ) -> Iterator[None]:
        """Convert the errors of FFmpeg and PyAV into ours."""
        try:
            yield
        except caught as error:
            raise kind(self.path, f"{what} ({error_text(error)})", decoder=self.decoder) from error
