"""The compressed pictures of a file: which frame each one is, and from where to decode it.

A file is demuxed once, without decoding. Sorted time stamps are then the table frame → picture, for
any frame rate and any order in the file, and no seek is needed: the packets stay in memory. Files
that are too large for that are read by window: a few groups of pictures at a time.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from video_gc.decode.h264 import is_exact_start, unit_length_size

LARGE = 64 << 20
"""bytes from which a file is read by window"""
LONG = 60.0
"""seconds from which it is"""
WINDOW = 16 << 20
"""bytes of packets that a window holds, or one group of pictures where that is larger"""


@dataclass(frozen=True)
class Window:
    """Packets that follow each other in the file. Positions count from 0 within it."""

    packets: list[Any]
    pts: list[int]
    starts: list[int]
    """positions where decoding can begin, rising"""
    order: list[int]
    """position of each frame that is shown, in the order in which they are shown"""
    base: int
    """index of the first of them in the video"""

    @cached_property
    def latest(self) -> list[int]:
        """The latest stamp of all packets up to each position."""
        return list(accumulate(self.pts, max))

    def start_of(self, position: int) -> int | None:
        """From where to decode: the last start before it that is not shown after it."""
        for start in reversed(self.starts[: bisect_right(self.starts, position)]):
            if self.pts[start] <= self.pts[position]:
                return start
        return None


class Packets:
    """The packets of one stream of an open container. Raises what FFmpeg raises.

    again: opens the file anew, at its start.

    `exact` is False where they do not say which frame is which: packets without time stamps, AVI
    with B-frames (its stamps are those of decoding), a recording that starts in the middle. Such a
    file must be decoded from its start and counted.
    """

    def __init__(self, container: Any, stream: Any, again: Callable[[], tuple[Any, Any]]) -> None:
        self._container, self._stream, self._again = container, stream, again
        self._codec = stream.codec_context.name
        self._length_size = unit_length_size(stream.codec_context.extradata)
        self._kept: Window | None = None
        self._begun = False
        self._times: np.ndarray | None = None
        duration = (container.duration or 0) / 1e6
        if max(container.size, 0) < LARGE and duration < LONG:
            self._keep_all()
        elif _is_complete(container, stream):
            self._take_index(stream.index_entries)
        else:
            self._scan()

    def __len__(self) -> int:
        """Frames that are shown."""
        return self._count

    def times(self) -> np.ndarray:
        """When each frame is shown: float64 seconds from the first. Demuxes a long file once."""
        if self._times is None:
            shown = [p.pts for p in self._demux(rewind=True) if not p.is_discard]
            self._times = np.sort(np.array(shown, np.float64))
            if len(shown) != self._count:
                raise ValueError(f"{len(shown)} of {self._count} frames have times")
        seconds: np.ndarray = (self._times - self._times[:1]) * float(self._stream.time_base)
        return seconds

    def from_start(self) -> Iterator[Any]:
        """Every packet in the order of the file."""
        return iter(self._kept.packets) if self._kept else self._demux(rewind=True)

    def windows(self, indices: list[int]) -> Iterator[tuple[Window, list[int]]]:
        """Split rising frame indices into windows that hold all that it takes to decode them."""
        if self._kept is not None:
            yield self._kept, indices
            return
        done = 0
        while done < len(indices):
            first = self._group_of(indices[done])
            last, end = first, done
            while end < len(indices):
                group = self._group_of(indices[end])
                far = group > last + 1 or self._bytes(first, group + 1) > WINDOW
                if far and group > first:
                    break
                last, end = group, end + 1
            yield self._load(first, last, indices[done:end]), indices[done:end]
            done = end

    def _keep_all(self) -> None:
        packets = list(self._demux())
        window = self._window(packets, 0, whole=True)
        self._count, self._kept = len(window.order), window
        self.exact = self._is_exact(packets[:1], [packet.pts for packet in packets])
        self._times = np.array([window.pts[p] for p in window.order], np.float64)

    def _scan(self) -> None:
        """Where each group of pictures begins, from the packets, which are not kept."""
        pts: list[int | None] = []
        self._groups, self._before, self._size = [], [0], [0]
        first: list[Any] = []
        shown: list[bool] = []
        for number, packet in enumerate(self._demux()):
            first = first or [packet]
            if packet.is_keyframe or not number:
                self._groups.append((number, packet.dts, packet.pos, packet.pts))
            pts.append(packet.pts)
            shown.append(not packet.is_discard)
            self._before.append(self._before[-1] + shown[-1])
            self._size.append(self._size[-1] + packet.size)
        self._count = self._before[-1]
        self.exact = self._is_exact(first, pts)
        if self.exact:
            self._times = np.sort(np.array(pts, np.float64)[np.array(shown, bool)])

    def _take_index(self, entries: Any) -> None:
        """The same from the index of an MP4 file: nothing of its body is read.

        Fragmented files have an index in each fragment, and are scanned.
        """
        self._groups, self._before, self._size = [], [0], [0]
        for number, entry in enumerate(entries):
            if entry.is_keyframe or not number:
                self._groups.append((number, entry.timestamp, entry.pos, None))
            self._before.append(self._before[-1] + (not entry.is_discard))
            self._size.append(self._size[-1] + entry.size)
        self._count = self._before[-1]
        self.exact = bool(entries[0].is_keyframe) and not self._stamped_when_decoded()

    def _group_of(self, index: int) -> int:
        """The group of pictures that holds a frame; leading ones count to the group they follow."""
        position = bisect_right(self._before, index) - 1
        return bisect_right(self._groups, position, key=lambda group: group[0]) - 1

    def _bytes(self, first: int, end: int) -> int:
        return self._size[self._position(end)] - self._size[self._position(first)]

    def _position(self, group: int) -> int:
        return self._groups[group][0] if group < len(self._groups) else len(self._before) - 1

    def _load(self, first: int, last: int, indices: list[int]) -> Window:
        """The groups first…last, and as many before as it takes to decode the frames from a start.

        Frames before a key frame that follow it in the file need the group before.
        """
        back = 1
        while True:
            begin = max(first - back, 0)
            position = self._position(begin)
            packets = self._read(begin, self._position(last + 1) - position)
            window = self._window(packets, self._before[position], whole=not begin)
            there = [i - window.base for i in indices if i - window.base < len(window.order)]
            if not begin or all(window.start_of(window.order[i]) is not None for i in there):
                return window
            back *= 4

    def _read(self, group: int, count: int) -> list[Any]:
        """`count` packets from the beginning of a group; fewer where the file ends early."""
        # in a program stream, stamps after a seek are other ones than those of a reading in turn
        seeks = self._container.format.name != "mpeg"
        for earlier in (0, 2, 8, group) if seeks else (group,):  # MPEG-TS seeks too far
            packets = self._read_from(max(group - earlier, 0), group, count)
            if packets:
                return packets
        return []

    def _read_from(self, origin: int, group: int, count: int) -> list[Any]:
        """The same by seeking to the group `origin`; nothing where that leads behind the group."""
        number, stamp, pos, pts = self._groups[group]
        packets: list[Any] = []
        if origin:
            seconds = self._groups[origin][1]
            if seconds is None or stamp is None:
                return []
            self._container.seek(seconds, stream=self._stream, backward=True)
        for at, packet in enumerate(self._demux(rewind=not origin)):
            if origin:  # several pictures may share a place (ASF), dts may be gone (Matroska)
                same = packet.dts == stamp if pts is None else packet.pts == pts
                found = same and packet.pos == pos
            else:
                found = at == number
            if packets or found:
                packets.append(packet)
                if len(packets) == count:
                    break
            elif origin and packet.dts is not None and packet.dts > stamp:
                break
        return packets

    def _demux(self, rewind: bool = False) -> Iterator[Any]:
        if rewind and self._begun:  # not every container can be sought back to its very start
            self._container, self._stream = self._again()
        self._begun = True
        return (packet for packet in self._container.demux(self._stream) if packet.size)

    def _window(self, packets: list[Any], base: int, whole: bool) -> Window:
        pts = [at if packet.pts is None else packet.pts for at, packet in enumerate(packets)]
        starts = [
            number
            for number, packet in enumerate(packets)
            if packet.is_keyframe
            and (
                (whole and not number)
                or self._codec != "h264"
                or is_exact_start(memoryview(packet), self._length_size)
            )
        ]
        shown = [number for number, packet in enumerate(packets) if not packet.is_discard]
        return Window(packets, pts, starts, sorted(shown, key=pts.__getitem__), base)

    def _stamped_when_decoded(self) -> bool:
        """AVI has no other stamps; with B-frames those are not the times of being shown."""
        avi = self._container.format.name == "avi"
        return avi and bool(self._stream.codec_context.has_b_frames)

    def _is_exact(self, first: list[Any], pts: list[int | None]) -> bool:
        stamps = {stamp for stamp in pts if stamp is not None}
        return (
            bool(first)
            and bool(first[0].is_keyframe)
            and not self._stamped_when_decoded()
            and len(stamps) == len(pts)
            and min(stamps) == first[0].pts
        )


def _is_complete(container: Any, stream: Any) -> bool:
    """Whether the index at the head of a file holds every packet, and the file all of them."""
    entries = stream.index_entries
    if not stream.frames or stream.frames != len(entries):
        return False
    return bool(entries[len(entries) - 1].pos + entries[len(entries) - 1].size <= container.size)


def spans(window: Window, indices: list[int]) -> Iterator[tuple[int, int, dict[int, int]]]:
    """(first packet, last packet, {position: index}) of each stretch that must be decoded."""
    found: list[tuple[int, int, dict[int, int]]] = []
    for index in indices:
        place = index - window.base
        if place >= len(window.order):  # the file ends before it
            continue
        position = window.order[place]
        start = window.start_of(position) or 0
        if found and start <= found[-1][1] + 1:
            first, last, inside = found[-1]
            found[-1] = (min(first, start), max(last, position), inside | {position: index})
        else:
            found.append((start, position, {position: index}))
    yield from found
