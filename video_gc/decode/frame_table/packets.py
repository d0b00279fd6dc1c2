"""The compressed pictures of a file: the frame of each one, and where to start decoding it.

A file is demuxed once, without decoding. Sorting its time stamps gives the picture of each frame
(table.py), for any frame rate and any order in the file. The packets stay in memory, so no seek is
needed. Large files are read by window: a few groups of pictures at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from video_gc.decode.ffmpeg.container import stream_packets
from video_gc.decode.ffmpeg.source import Held
from video_gc.decode.frame_table.h264_picture import reorder_depth
from video_gc.decode.frame_table.mp4_index import read_index
from video_gc.decode.frame_table.packet_heads import PacketHeads
from video_gc.decode.frame_table.table import NEVER, Rows, Table, agree
from video_gc.decode.losses.picture_numbers import Numbers
from video_gc.decode.reader import Source

LARGE = 64 << 20
"""files of at least this many bytes are read by window"""
LONG = 60.0
"""and so are files of at least this many seconds"""
WINDOW = 16 << 20
"""bytes of packets in a window, or one group of pictures if that is larger"""


class UnsoundError(Exception):
    """The table is wrong: frames must be decoded and counted from the start."""


@dataclass(frozen=True)
class Window:
    """Consecutive packets of the file. Positions are those of the table."""

    packets: list[Any]
    first: int
    """position of the first packet"""
    table: Table

    @property
    def pts(self) -> np.ndarray:
        """The display time of each position."""
        return self.table.pts

    @property
    def latest(self) -> np.ndarray:
        """The latest display time of all frames stored up to each position."""
        return self.table.latest

    def packet(self, position: int) -> Any:
        """The packet at a position."""
        return self.packets[position - self.first]

    def start_of(self, position: int) -> int:
        """Where to start decoding a position; see Table.start_of."""
        return self.table.start_of(position)

    def spans(self, indices: list[int]) -> Iterator[tuple[int, int, dict[int, int]]]:
        """(first packet, last packet, {position: index}) of each stretch to decode."""
        found: list[tuple[int, int, dict[int, int]]] = []
        for index in indices:
            position = int(self.table.order[index])
            start = self.start_of(position)
            if found and start <= found[-1][1] + 1:
                first, last, inside = found[-1]
                found[-1] = (min(first, start), max(last, position), inside | {position: index})
            else:
                found.append((start, position, {position: index}))
        yield from found


class Packets:
    """The packets of one stream of an open container. Raises what FFmpeg raises.

    reopen: opens the file again, at its start. source: the same file.

    `exact` is False if packets do not tell which frame is which: packets without time stamps, AVI
    with B-frames (its stamps are decoding times), a recording that starts in the middle or was
    joined from several with overlapping stamps, a codec unknown to packet_heads.py. Such a file
    must be decoded from its start and counted. If this is found only while reading a long file,
    `windows` raises UnsoundError, and `exact` is False from then on.
    """

    exact: bool

    def __init__(
        self, container: Any, stream: Any, reopen: Callable[[], Any], source: Source | Held
    ) -> None:
        self._container, self._stream, self._reopen = container, stream, reopen
        self._reopened: Any = None
        self._index, self._context = stream.index, stream.codec_context
        self._depth = reorder_depth(self._context)
        self._kept: Window | None = None
        self._begun = False
        self._table: Table
        self.gap: int | None = None
        """position in the file of the first packet after which picture numbers show a loss; not
        computed if an index lists all packets"""
        self.first: Any = None
        """the first packet of the file"""
        duration = (container.duration or 0) / 1e6
        if max(container.size, 0) < LARGE and duration < LONG:
            self._read_all(keep=True)
        elif not self._take_index(source):
            self._read_all()

    def __len__(self) -> int:
        """Number of shown frames."""
        return len(self._table.order)

    @property
    def begins_at_start(self) -> bool:
        """Whether decoding can begin at the first packet, whatever was decoded before."""
        return self._table.is_start(0)

    def times(self) -> np.ndarray:
        """Start of each frame: float64 seconds from the first."""
        stamps = self._table.pts[self._table.order].astype(np.float64)
        seconds: np.ndarray = (stamps - stamps[:1]) * float(self._stream.time_base)
        return seconds

    def from_start(self) -> Iterator[Any]:
        """Every packet in the order of the file."""
        return iter(self._kept.packets) if self._kept else self._demux()

    def windows(self, indices: list[int]) -> Iterator[tuple[Window, list[int]]]:
        """Split rising frame indices into windows with all packets needed to decode them.

        Raises UnsoundError.
        """
        if self._kept is not None:
            yield self._kept, indices
            return
        done = 0
        while done < len(indices):
            first, last, end = self._stretch(indices, done)
            # a picture that belongs before one may be stored as far behind it
            last = last if self._proven else min(last + self._depth, len(self._table.pts) - 1)
            packets = self._read(first, last + 1 - first)
            if packets is None:
                self._distrust()
                continue
            yield Window(packets, first, self._table), indices[done:end]
            done = end

    def _read_all(self, keep: bool = False) -> None:
        """Make the table from all packets."""
        rows, kinds, kept = Rows(), PacketHeads(self._context), []
        numbers = Numbers(self._container.format.name, self._context)
        self._proven = True
        for packet in self._demux():
            if not rows.rows:
                self.first = packet
            rows.append(packet, *kinds.read(packet))
            numbers.read(packet)
            if keep:
                kept.append(packet)
        self._table = table = rows.table()
        self._kept = Window(kept, 0, table) if keep else None
        self.exact = not self._stamped_when_decoded() and table.is_sound(self._depth)
        gap = numbers.first_gap(table)
        if gap is not None and table.places is not None:
            self.gap = int(table.places[: gap + 1].max())

    def _take_index(self, source: Source | Held) -> bool:
        """Make the table from the index of an MP4 file, without its body; False if unusable.

        The index's claims about bytes are checked when they are read.
        """
        mp4 = "mp4" in self._container.format.name.split(",")
        table = read_index(self._container, self._stream, source) if mp4 else None
        packet = next(self._demux(), None) if table else None
        if table is None or packet is None or packet.pts is None:
            return False
        table.pts[:] += packet.pts - table.pts[0]  # FFmpeg's: no frame is shown before its decoding
        self._table, self.first, self._proven = table, packet, False
        self.exact = table.is_sound(self._depth) and self._are_right([packet], 0)
        return self.exact

    def _distrust(self) -> None:
        """The index is wrong about the file: demux all of it. Raises UnsoundError."""
        promised, proven = len(self), self._proven
        self._read_all()
        self.exact = self.exact and not proven and len(self) == promised
        if not self.exact:
            raise UnsoundError

    def _stretch(self, indices: list[int], done: int) -> tuple[int, int, int]:
        """(first, last position, end): the packets that contain the frames indices[done:end]."""
        table = self._table
        last = int(table.order[indices[done]])
        first, end = table.start_of(last), done + 1
        while end < len(indices):
            position = int(table.order[indices[end]])
            start, reach = table.start_of(position), max(last, position)
            far = start > last + 1 or table.ends[reach] - table.ends[first] > WINDOW
            if far and start > first:
                break
            last, end = reach, end + 1
        return first, last, end

    def _read(self, first: int, count: int) -> list[Any] | None:
        """`count` packets from a position on; None if they differ from the table."""
        # in a program stream, time stamps after a seek differ from those of sequential reading
        seeks = self._container.format.name != "mpeg"
        for back in (0, 2, 8) if seeks else ():  # MPEG-TS seeks too far
            origin = self._table.start_before(first, back)
            packets = self._read_from(origin, first, count) if origin else []
            if packets and self._are_right(packets, first, count):
                return packets
        packets = self._read_from(0, first, count)
        return packets if self._are_right(packets, first, count) else None

    def _read_from(self, origin: int, first: int, count: int) -> list[Any]:
        """The same by seeking to the start `origin`; empty if the seek lands behind `first`."""
        table, packets = self._table, list[Any]()
        target, stamp = int(table.dts[origin]), int(table.dts[first])
        if origin:
            if NEVER in (target, stamp):  # Matroska has none
                return []
            self._container.seek(target, stream=self._stream, backward=True)
        for at, packet in enumerate(self._demux(rewind=not origin)):
            if packets or (self._is_at(packet, first) if origin else at == first):
                packets.append(packet)
                if len(packets) == count:
                    break
            elif origin and packet.dts is not None and packet.dts > stamp:
                break
        return packets

    def _is_at(self, packet: Any, position: int) -> bool:
        """Several pictures may share a position (ASF), or a decoding time."""
        table = self._table
        if packet.pts != table.pts[position]:
            return False
        return table.places is None or packet.pos == table.places[position]

    def _are_right(self, packets: list[Any], first: int, count: int = 1) -> bool:
        """Whether packets match the table from position `first` on."""
        table = self._table
        for at, packet in enumerate(packets, first):
            if (packet.pts, packet.size) != (table.pts[at], table.sizes[at]):
                return False
            if packet.is_discard != table.dropped[at]:
                return False
        return len(packets) == count and (self._proven or self._are_proven(packets, first))

    def _are_proven(self, packets: list[Any], first: int) -> bool:
        """Whether the bytes confirm an index: one frame per packet, its starts, the order."""
        kinds, turns = PacketHeads(self._context), list[int]()
        for at, packet in enumerate(packets, first):
            start, shows, turn = kinds.read(packet)
            if shows != 1 or (not start and self._table.is_start(at)):
                return False
            turns.append(NEVER if turn is None else turn)
        return agree(self._table.pts[first : first + len(turns)], np.array(turns, np.int64))

    def _demux(self, rewind: bool = True) -> Iterator[Any]:
        if rewind and self._begun:  # not every container can seek to its very start
            if self._reopened is not None:
                self._reopened.close()
            self._container = self._reopened = self._reopen()
            self._stream = self._container.streams[self._index]
        self._begun = True
        return stream_packets(self._container, self._stream)

    def _stamped_when_decoded(self) -> bool:
        """AVI has no other stamps; with B-frames they are not display times."""
        return self._container.format.name == "avi" and self._depth > 0
