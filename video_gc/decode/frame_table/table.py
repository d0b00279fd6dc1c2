"""The table of a video: the frame of each packet, and where to start decoding it.

One table with one set of checks, filled from packets or from the index of an MP4 file.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

DEEPEST = 16
"""pictures that a codec may hold back for reordering"""
NEVER = -(1 << 63)
"""a missing time stamp"""
UNKNOWN = -1
"""unknown number of frames of a packet"""


@dataclass
class Rows:
    """The facts of each packet, in the order of the file, during demuxing."""

    rows: list[tuple[int, ...]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def append(self, packet: Any, start: bool | None, shows: int | None, turn: int | None) -> None:
        """Add the next PyAV packet, with its facts from packet_heads.py.

        A start must also be marked as a key frame. A damaged packet at the beginning of the file
        counts as a start: decoding shows the damage.
        """
        if packet.is_keyframe and (start or (start is None and not self.rows)):
            self.starts.append(len(self.rows))
        pts, dts, place = packet.pts, packet.dts, packet.pos
        self.rows.append(
            (
                NEVER if pts is None else pts,
                NEVER if dts is None else dts,
                packet.size,
                UNKNOWN if shows is None else shows,
                packet.is_discard,
                NEVER if place is None else place,
                NEVER if turn is None else turn,
            )
        )

    def table(self) -> "Table":
        """The table of all packets."""
        columns = np.array(self.rows, np.int64).reshape(-1, 7).T
        pts, dts, sizes, shows, dropped, places, turns = columns
        starts = np.array(self.starts, np.int64)
        return Table(pts, dts, sizes, shows, dropped > 0, starts, places, turns)


@dataclass(frozen=True)
class Table:
    """Columns of all packets in the order of the file. Positions count from 0.

    Frames are the shown pictures, in the order of their time stamps. That is the order of a
    sequential decode only if `is_sound`.
    """

    pts: np.ndarray
    """display times, int64, NEVER if missing"""
    dts: np.ndarray
    """decoding times, likewise"""
    sizes: np.ndarray
    """bytes"""
    shows: np.ndarray
    """frames of the packet: 0, 1, or UNKNOWN; see packet_heads.py"""
    dropped: np.ndarray
    """bool: decoded but hidden by an edit list"""
    starts: np.ndarray
    """positions where decoding can begin, rising"""
    places: np.ndarray | None = None
    """position of each packet in the file; None if decoding times tell packets apart"""
    turns: np.ndarray | None = None
    """numbers that rise in display order, NEVER if the codec has none; see packet_heads.py"""

    def is_sound(self, depth: int) -> bool:
        """Whether frames in the order of their stamps are those of a sequential decode.

        Conditions: every packet is known to be one frame, or none; decoding can begin at the first
        packet, which is shown first; display times exist and differ; decoding times never fall; no
        picture comes so late that the decoder, which holds back `depth`, has shown a later one;
        from each start on, every stamp is above all before it; and stamps agree with the codec's
        order. The last three exclude joined recordings, and stamps that are decoding times.
        """
        if (self.shows == UNKNOWN).any() or not (len(self.starts) and self.starts[0] == 0):
            return False
        if (np.diff(self.dts[self.dts != NEVER]) < 0).any():
            return False
        seen = np.flatnonzero(self.shows)
        stamps = self.pts[seen]
        if not len(seen) or seen[0] or (stamps == NEVER).any() or stamps.min() < stamps[0]:
            return False
        if (np.diff(np.sort(stamps)) == 0).any():
            return False
        if not _is_in_reach(stamps, depth) or not self._rises_at_starts(stamps, seen):
            return False
        return self.turns is None or agree(stamps, self.turns[seen])

    def _rises_at_starts(self, stamps: np.ndarray, seen: np.ndarray) -> bool:
        before = np.maximum.accumulate(stamps)
        after = np.minimum.accumulate(stamps[::-1])[::-1]
        cuts = np.searchsorted(seen, self.starts)
        cuts = cuts[(cuts > 0) & (cuts < len(stamps))]
        return bool((before[cuts - 1] < after[cuts]).all())

    @cached_property
    def shown(self) -> np.ndarray:
        """bool: the packet is a shown frame."""
        shown: np.ndarray = (self.shows != 0) & ~self.dropped
        return shown

    @cached_property
    def order(self) -> np.ndarray:
        """The position of each frame, in display order."""
        shown = np.flatnonzero(self.shown)
        order: np.ndarray = shown[np.argsort(self.pts[shown], kind="stable")]
        return order

    @cached_property
    def latest(self) -> np.ndarray:
        """The latest display time of all frames stored up to each position."""
        latest: np.ndarray = np.maximum.accumulate(np.where(self.shown, self.pts, NEVER))
        return latest

    @cached_property
    def ends(self) -> np.ndarray:
        """Bytes of all packets up to each position."""
        return np.cumsum(self.sizes)

    def start_of(self, position: int) -> int:
        """Where to start decoding: the last start stored and shown before the position, or 0."""
        for at in range(self._starts_until(position), 0, -1):
            start = int(self.starts[at - 1])
            if self.pts[start] <= self.pts[position]:
                return start
        return 0

    def start_before(self, position: int, count: int) -> int:
        """The start that lies `count` starts before one; 0 if there are fewer."""
        at = self._starts_until(position) - 1 - count
        return int(self.starts[at]) if at > 0 else 0

    def is_start(self, position: int) -> bool:
        """Whether decoding can begin here."""
        at = self._starts_until(position)
        return bool(at and self.starts[at - 1] == position)

    def _starts_until(self, position: int) -> int:
        return int(np.searchsorted(self.starts, position, "right"))


def agree(stamps: np.ndarray, turns: np.ndarray) -> bool:
    """Whether time stamps rise as turns do, where turns are known."""
    turns = turns[np.argsort(stamps, kind="stable")]
    return bool((np.diff(turns[turns != NEVER]) > 0).all())


def _is_in_reach(stamps: np.ndarray, depth: int) -> bool:
    """Whether at most `depth` earlier pictures are shown after each, and none from long before."""
    late = np.zeros(len(stamps), np.int8)
    for back in range(1, min(DEEPEST + 1, len(stamps))):
        late[back:] += stamps[:-back] > stamps[back:]
    far = np.maximum.accumulate(stamps)[: -DEEPEST - 1]
    return bool((late <= depth).all() and (far < stamps[DEEPEST + 1 :]).all())
