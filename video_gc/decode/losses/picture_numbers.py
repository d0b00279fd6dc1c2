"""Lost pictures by the numbers that MPEG-1, MPEG-2 and H.264 give to theirs.

Other codecs count the time, which may leave pictures out in a sound file. A recording that was
joined or trimmed begins anew where decoding can begin: nothing is compared across such a place.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from video_gc.decode.frame_table.h264 import FrameNumbers
from video_gc.decode.frame_table.table import NEVER, Table

FORMS = frozenset({"mpeg", "mpegts", "flv", "asf"})
"""containers that lose pictures without a trace; an edited MP4 may leave some out on purpose"""
USUAL = 0.75
"""share of steps of H.264 that must be the same, else they do not count pictures"""


class Numbers:
    """Reads the packets of one stream, in the order of the file. form: FFmpeg's name of the
    container. context: of PyAV's stream."""

    def __init__(self, form: str, context: Any) -> None:
        name = context.codec.canonical_name if form in FORMS else ""
        self._frames = FrameNumbers(context.extradata) if name == "h264" else None
        mpeg = name in ("mpeg1video", "mpeg2video")
        self._references = TemporalReferences() if mpeg else None
        self._gaps, self._read = list[int](), 0

    def read(self, packet: Any) -> None:
        """The next packet."""
        if self._frames and self._frames.follows_a_gap(memoryview(packet)):
            self._gaps.append(self._read)
        if self._references:
            self._references.read(packet, self._read)
        self._read += 1

    def first_gap(self, table: Table) -> int | None:
        """The position in the file from which on pictures may have moved up.

        table: of the packets that were read.
        """
        gaps = list(self._gaps)
        if self._frames:
            gaps += _steps(table)
        if self._references:
            gaps += self._references.gaps()
        return min(gaps, default=None)


class TemporalReferences:
    """Notices where pictures of MPEG-1 and -2 are missing (temporal_reference, ISO 13818-2, 6.3.9).

    It counts pictures in the order of being shown. So as many B pictures follow a picture that is
    none as lie between its number and that of the one before; behind an I picture, some of them may
    have been trimmed off.
    """

    def __init__(self) -> None:
        self._before: int | None = None
        self._anchor: int | None = None
        self._position = 0
        self._between = list[int]()
        self._checks, self._gaps = 0, list[int]()

    def read(self, packet: bytes | memoryview, position: int) -> None:
        """The next packet, and its position in the file."""
        data = bytes(packet)
        at = data.find(b"\0\0\1\0")
        if not 0 <= at < len(data) - 5:
            self._before = self._anchor = None
            return
        number, kind = data[at + 4] << 2 | data[at + 5] >> 6, data[at + 5] >> 3 & 7
        if kind == 3:
            self._between.append(number)
        elif number != self._anchor:  # else its second field
            self._check()
            self._before = None if kind == 1 else self._anchor
            self._anchor, self._position, self._between = number, position, []

    def gaps(self) -> list[int]:
        """Positions of pictures before which some are missing, or too many.

        None where most numbers are so: the encoder does not count.
        """
        return self._gaps if 2 * len(self._gaps) <= self._checks else []

    def _check(self) -> None:
        if self._before is None or self._anchor is None:
            return
        self._checks += 1
        lie = (self._anchor - self._before - 1) % 1024
        numbers = {(self._before + 1 + at) % 1024 for at in range(lie)}
        # a picture may be two fields
        if set(self._between) != numbers or len(self._between) not in (lie, 2 * lie):
            self._gaps.append(self._position)


def _steps(table: Table) -> list[int]:
    """Positions of pictures of H.264 where order counts leave some out (8.2.1).

    Between two starts they rise by the same step from picture to picture. What is stored behind a
    start and shown before it may have been trimmed off.
    """
    if table.turns is None:
        return []
    steps, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for first, end in pairwise([*table.starts.tolist(), len(table.turns)]):
        turns = table.turns[first:end]
        if (turns == NEVER).any():
            continue
        order = np.argsort(turns, kind="stable")
        order = order[turns[order] >= turns[0]]
        steps.append(np.diff(turns[order]))
        places.append(first + np.minimum(order[1:], order[:-1]))
    step, place = np.concatenate(steps), np.concatenate(places)
    if not len(step):
        return []
    usual = int(np.median(step))
    skips = (step > usual) & (step % max(usual, 1) == 0)
    known = (step == usual).mean() >= USUAL
    found: list[int] = place[skips].tolist()
    return found if known else []
