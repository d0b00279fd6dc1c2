"""Find lost pictures by the picture numbers of MPEG-1, MPEG-2 and H.264.

Other codecs store the time, which may have gaps in a sound file. A joined or trimmed recording
starts its numbers anew at a start of decoding, so nothing is compared across one.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from video_gc.decode.frame_table.h264 import FrameNumbers
from video_gc.decode.frame_table.table import NEVER, Table

FORMS = frozenset({"mpeg", "mpegts", "flv", "asf"})
"""containers that lose pictures without a trace; an edited MP4 may omit some on purpose"""
USUAL = 0.75
"""share of H.264's steps that must be equal; otherwise the numbers do not count pictures"""


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
        """The position in the file from which pictures may have moved up.

        table: of the packets read.
        """
        gaps = list(self._gaps)
        if self._frames:
            gaps += _steps(table)
        if self._references:
            gaps += self._references.gaps()
        return min(gaps, default=None)


class TemporalReferences:
    """Finds gaps in MPEG-1 and -2 (temporal_reference, ISO 13818-2, 6.3.9).

    It counts pictures in display order. So the number of B pictures after a non-B picture is the
    difference between its number and the previous one's, minus 1; after an I picture, some of them
    may have been trimmed off.
    """

    def __init__(self) -> None:
        self._before: int | None = None
        self._anchor: int | None = None
        self._position = 0
        self._between = list[int]()
        self._checks, self._gaps = 0, list[int]()

    def read(self, packet: bytes | memoryview, position: int) -> None:
        """Add the next packet, and its position in the file."""
        data = bytes(packet)
        at = data.find(b"\0\0\1\0")
        if not 0 <= at < len(data) - 5:
            self._before = self._anchor = None
            return
        number, kind = data[at + 4] << 2 | data[at + 5] >> 6, data[at + 5] >> 3 & 7
        if kind == 3:
            self._between.append(number)
        elif number != self._anchor:  # otherwise it is its second field
            self._check()
            self._before = None if kind == 1 else self._anchor
            self._anchor, self._position, self._between = number, position, []

    def gaps(self) -> list[int]:
        """Positions of pictures before which some are missing, or too many.

        None if this is so for most: then the encoder does not count.
        """
        return self._gaps if 2 * len(self._gaps) <= self._checks else []

    def _check(self) -> None:
        if self._before is None or self._anchor is None:
            return
        self._checks += 1
        lie = (self._anchor - self._before - 1) % 1024
        numbers = {(self._before + 1 + at) % 1024 for at in range(lie)}
        # a picture may consist of two fields
        if set(self._between) != numbers or len(self._between) not in (lie, 2 * lie):
            self._gaps.append(self._position)


def _steps(table: Table) -> list[int]:
    """Positions of H.264 pictures before which order counts have gaps (8.2.1).

    Between two starts they rise by equal steps. Pictures stored after a start and shown before it
    may have been trimmed off.
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
