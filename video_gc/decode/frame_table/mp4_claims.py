"""Refuse an MP4 that claims far more than it can contain, before FFmpeg allocates memory for it.

FFmpeg allocates a row for every sample in the tables (ISO 14496-12, 8.7 and 8.8). Tables that list
each sample take room in the file; others claim with a few bytes 80 million samples of one size, or
an edit list that shows all of them a thousand times.
"""

import io
import time
import zlib
from dataclasses import dataclass, field

import numpy as np

from video_gc.decode.ffmpeg.source import WINDOW, Bytes
from video_gc.decode.reader import OpenError, StuckError

FREE = 1 << 20
"""samples that any file may claim; FFmpeg uses some 60 MiB for them"""
DEEPEST = 10
"""depth of nested boxes that FFmpeg reads"""
PACKED = 160
"""least samples of sound per row in FFmpeg, if it goes by chunks"""
HEAD = 64 << 20
"""bytes of a compressed head"""
INSIDE = frozenset(
    b"moov trak mdia minf stbl dinf edts mvex moof traf udta tref cmov wave sinf schi tapt".split()
)
"""boxes that contain others"""
HIDDEN = frozenset((b"free", b"hoov"))
"""boxes in which FFmpeg looks for a head if there is no other"""
FRAGMENTED = frozenset((b"mvex", b"moof"))
"""boxes of files whose samples are not all listed in the head"""
TABLES = {b"stts": 8, b"ctts": 8, b"stsc": 12, b"stco": 4, b"co64": 8, b"stss": 4}
"""table → bytes per row"""


@dataclass
class _Track:
    """Claims of a track's tables."""

    samples: int = 0
    unlisted: int = 0
    """samples and rows that take no room in any table"""
    edits: int = 0
    """consecutive parts of the track"""
    sound: bool = False
    ticking: bool = False
    """each sample lasts one tick: sound read in chunks"""
    shifted: bool = False
    runs: np.ndarray = field(default_factory=lambda: np.empty((0, 3), np.int64))
    """first chunk, samples of each chunk from there on, number of a description"""
    chunks: int = 0

    def rows(self) -> int:
        """FFmpeg's rows in memory, without those that take room in the file."""
        rows, unlisted = self.samples, self.unlisted
        if self.sound and self.ticking:
            ends = np.append(self.runs[1:, 0], self.chunks + 1).clip(max=self.chunks + 1)
            lengths = (ends - self.runs[:, 0]).clip(min=0) if len(self.runs) else 0
            packed = int((lengths * self.runs[:, 1]).sum()) // PACKED
            if not self.shifted:
                rows = unlisted = 0
            rows, unlisted = rows + packed, unlisted + packed
        return max(rows, unlisted) * self.edits if self.edits > 1 else unlisted


class _Claims:
    """Adds up the claims of a file's boxes."""

    def __init__(self, name: str, size: int, time_limit: float) -> None:
        self._name, self._size = name, size
        self._limit, self._deadline = time_limit, time.monotonic() + time_limit
        self._track, self._total = _Track(), 0
        self.codings, self.fragmented = set[bytes](), False

    def walk(self, file: Bytes, place: int, end: int, depth: int = 0) -> None:
        """Read the boxes of file[place:end] as FFmpeg does."""
        while place + 8 <= end and depth <= DEEPEST:
            head = file.at(place, 16)
            size, kind, length = int.from_bytes(head[:4], "big"), head[4:8], 8
            if size == 1 and place + 16 <= end:
                size, length = int.from_bytes(head[8:], "big"), 16
            if size == 0:
                size = end - place
            if size < length:
                break
            start, place = place + length, min(place + size, end)
            if kind in HIDDEN and file.at(start + 4, 4) in (b"mvhd", b"cmov"):
                kind = b"moov"
            if kind == b"trak":
                self._finish_track()
            self.fragmented = self.fragmented or kind in FRAGMENTED
            if kind in INSIDE:
                self.walk(file, start, place, depth + 1)
            elif kind == b"meta":
                found = file.at(start, 64).find(b"hdlr")
                self.walk(file, start + max(found - 4, 0), place, depth + 1)
            elif kind == b"cmvd":
                self._unpack(file, start, place, depth)
            elif kind != b"mdat":
                self._read_table(file, kind, start, place)
            if depth == 0:
                self._finish_track()
            if time.monotonic() > self._deadline:
                reason = f"its head could not be read within {self._limit:g} s (time_limit)"
                raise StuckError(self._name, reason)

    def _read_table(self, file: Bytes, kind: bytes, start: int, end: int) -> None:
        track = self._track
        if kind == b"stsd":  # FFmpeg reads boxes after a description as if they were elsewhere
            self.codings.add(file.at(start + 12, 4))
            at = file.at(start, min(end - start, WINDOW)).find(b"stsz")
            if at >= 0:
                self._read_table(file, b"stsz", start + at + 4, end)
        elif kind in TABLES:
            count, room = _number(file, start + 4), max(end - start - 8, 0) // TABLES[kind]
            track.unlisted += max(count - room, 0)
            if kind == b"stts":
                track.ticking = count == 1 and _number(file, start + 12) == 1
            elif kind == b"ctts":
                track.shifted = True
            elif kind == b"stsc":
                table = file.at(start + 8, 12 * min(count, room))
                table = table[: len(table) // 12 * 12]
                track.runs = np.frombuffer(table, ">u4").reshape(-1, 3).astype(np.int64)
            elif kind in (b"stco", b"co64"):
                track.chunks = min(count, room)
        elif kind == b"stsz":
            self._read_sizes(_number(file, start + 8), start, end, _number(file, start + 4), 32)
        elif kind == b"stz2":
            field_size = _number(file, start + 4) & 255
            self._read_sizes(_number(file, start + 8), start, end, 0, field_size)
        elif kind == b"hdlr":
            handler = file.at(start + 8, 4)  # QuickTime has a data handler after it
            track.sound = handler == b"soun" or (track.sound and handler != b"vide")
        elif kind == b"elst":
            self._read_edits(file, start, end)
        elif kind == b"trun":
            self._read_run(file, start, end)

    def _read_sizes(self, count: int, start: int, end: int, same: int, bits: int) -> None:
        room = 0 if same else max(end - start - 12, 0) * 8 // max(bits, 1)
        self._track.samples += count
        self._track.unlisted += max(count - room, 0)

    def _read_edits(self, file: Bytes, start: int, end: int) -> None:
        width = 8 if file.at(start, 1) == b"\1" else 4
        row = 2 * width + 4
        count = min(_number(file, start + 4), max(end - start - 8, 0) // row)
        table = file.at(start + 8, count * row)
        nothing = b"\xff" * width
        times = (table[at + width : at + 2 * width] for at in range(0, len(table), row))
        self._track.edits += sum(time != nothing for time in times)

    def _read_run(self, file: Bytes, start: int, end: int) -> None:
        """Add the samples of a fragment; only samples with own entries take room."""
        flags, count = _number(file, start), _number(file, start + 4)
        row = 4 * (flags & 0xF00).bit_count()
        room = max(end - start - 8, 0) // row if row else 0
        self._track.unlisted += max(count - room, 0)

    def _unpack(self, file: Bytes, start: int, end: int, depth: int) -> None:
        """Read a compressed head (QuickTime)."""
        length = int.from_bytes(file.at(start, 4), "big")
        if length > HEAD:
            raise OpenError(
                self._name,
                f"its compressed head claims {length:,} bytes, and at most {HEAD:,} are read",
            )
        try:
            packed = file.at(start + 4, max(end - start - 4, 0))
            head = zlib.decompressobj().decompress(packed, length + 1)
        except zlib.error:
            return  # FFmpeg reads nothing in it either
        self.walk(Bytes(io.BytesIO(head)), 0, len(head), depth + 1)

    def _finish_track(self) -> None:
        self._total += self._track.rows()
        self._track = _Track()
        if self._total > max(self._size, FREE):
            raise OpenError(
                self._name,
                f"its tables claim {self._total:,} samples that they do not list, and the file has "
                f"{self._size:,} bytes; if it plays elsewhere, copy its streams into a new file",
            )


def check_claims(file: Bytes, name: str, time_limit: float) -> frozenset[bytes]:
    """Compare the claims of an MP4 with its size. Other files are not checked.

    A sample that no table lists has at least one byte. Returns the codings of its tracks, such as
    b"avc1"; none of a fragmented file. Raises OpenError with both numbers, StuckError.
    """
    claims = _Claims(name, file.size, time_limit)
    claims.walk(file, 0, file.size)
    return frozenset(() if claims.fragmented else claims.codings)


def _number(file: Bytes, place: int) -> int:
    """Four bytes as a number."""
    return int.from_bytes(file.at(place, 4), "big")
