"""The tables in the head of an MP4 file (ISO 14496-12), without reading its pictures.

FFmpeg's index of such a file has decoding times, not display times, and is slow to read. So the
tables are read here, and compared with some entries of that index.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from video_gc.decode.ffmpeg.source import Held, content
from video_gc.decode.frame_table.table import Table
from video_gc.decode.reader import Source

LARGEST = 64 << 20
"""bytes of a head that are read"""
COMPARED = 64
"""compared entries of FFmpeg's index, from the first to the last"""


def read_index(container: Any, stream: Any, source: Source | Held) -> Table | None:
    """The table from a complete index; None without an index, or if it is doubtful.

    All display times may be shifted by the same number.
    """
    entries = stream.index_entries
    count = len(entries)
    if not count or stream.frames != count:
        return None  # fragmented, or not an MP4
    if entries[count - 1].pos + entries[count - 1].size > container.size:
        return None  # truncated
    boxes = _tables(source, stream.id)
    sizes = _sizes(boxes.get(b"stsz"), count)
    steps = _runs(boxes.get(b"stts"), count)
    offsets = _runs(boxes[b"ctts"], count) if b"ctts" in boxes else np.zeros(count, np.int64)
    if sizes is None or steps is None or offsets is None or sizes.min() < 1 or steps.min() < 0:
        return None
    dts = np.cumsum(steps) - steps
    keys = _keys(boxes.get(b"stss"), count)
    dropped = np.zeros(count, bool)
    if entries[0].is_discard or entries[count - 1].is_discard:  # an edit list
        dropped = np.array([entry.is_discard for entry in entries], bool)
    dts += entries[0].timestamp
    for at in np.unique(np.linspace(0, count - 1, COMPARED).astype(int)).tolist():
        entry = entries[at]
        if (entry.timestamp, entry.size) != (dts[at], sizes[at]):
            return None
        if (entry.is_keyframe, entry.is_discard) != (keys[at], dropped[at]):
            return None
    shows = np.ones(count, np.int64)
    return Table(dts + offsets, dts, sizes, shows, dropped, np.flatnonzero(keys))


def _sizes(table: memoryview | None, count: int) -> np.ndarray | None:
    """Bytes of each sample; None unless there are `count`."""
    if table is None or len(table) < 12:
        return None
    same, own = np.frombuffer(table[4:12], ">u4").tolist()
    if own != count or (not same and len(table) < 12 + 4 * count):
        return None
    if same:
        return np.full(count, same, np.int64)
    return np.frombuffer(table[12:], ">u4", count).astype(np.int64)


def _runs(table: memoryview | None, count: int) -> np.ndarray | None:
    """Pairs of (count, value), expanded to one value for each of `count` samples."""
    if table is None or len(table) < 16:
        return None
    number = min(int.from_bytes(table[4:8], "big"), (len(table) - 8) // 8)
    pairs = np.frombuffer(table[8 : 8 + 8 * number], ">i4").reshape(-1, 2).astype(np.int64)
    if (pairs[:, 0] < 0).any() or pairs[:, 0].sum() != count:
        return None
    return np.repeat(pairs[:, 1], pairs[:, 0])


def _keys(table: memoryview | None, count: int) -> np.ndarray:
    """Which samples are key frames; all without a table."""
    if table is None:
        return np.ones(count, bool)
    keys = np.zeros(count, bool)
    numbers = np.frombuffer(table[: len(table) // 4 * 4], ">u4")[2:].astype(np.int64)
    keys[numbers[(numbers > 0) & (numbers <= count)] - 1] = True
    return keys


def _tables(source: Source | Held, track: int) -> dict[bytes, memoryview]:
    """The sample tables of a track, by kind.

    None if they are missing, or if an edit list shows several parts of the track.
    """
    for kind, box in _boxes(_head(source)):
        parts = dict(_boxes(box)) if kind == b"trak" else {}
        if _number(parts.get(b"tkhd")) == track and _edits(parts.get(b"edts")) < 2:
            for inner in (b"mdia", b"minf", b"stbl"):
                box = dict(_boxes(box)).get(inner, memoryview(b""))
            return dict(_boxes(box))
    return {}


def _edits(box: memoryview | None) -> int:
    """Number of parts of the track in an edit list."""
    table = dict(_boxes(box)).get(b"elst") if box is not None else None
    if table is None or len(table) < 8:
        return 0
    size = 8 if table[0] else 4
    places = range(8 + size, len(table) - size + 1, 2 * size + 4)
    return sum(bytes(table[at : at + size]) != b"\xff" * size for at in places)  # -1: nothing


def _number(header: memoryview | None) -> int | None:
    """The number of a track, from its header."""
    if header is None or len(header) < 24:
        return None
    at = 20 if header[0] else 12
    return int.from_bytes(header[at : at + 4], "big")


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of consecutive boxes."""
    at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8])
        if size < 8 or at + size > len(data):
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _head(source: Source | Held) -> memoryview:
    """The content of the box `moov`; empty if it is not found."""
    with content(source) as file:
        at = 0
        while True:
            header = file.at(at, 16)
            size, begin = int.from_bytes(header[:4], "big"), at + 8
            if size == 1:
                size, begin = int.from_bytes(header[8:], "big"), at + 16
            length = size - (begin - at)
            if length < 0 or len(header) < 16:
                return memoryview(b"")
            if header[4:8] == b"moov":
                return memoryview(file.at(begin, length) if length <= LARGEST else b"")
            at += size
