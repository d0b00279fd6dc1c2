"""The bytes of a file that FFmpeg reads too: slices by place, wherever they are."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from video_gc.decode.ffmpeg.source import Held
from video_gc.decode.reader import Source

WINDOW = 64 << 10
"""bytes that are read at a time where single headers are looked at"""
CHUNK = 1 << 20
"""bytes that are read at a time where everything is"""


class Bytes:
    """A file's content: slices by place. file: can be read and sought in."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.size: int = file.seek(0, os.SEEK_END)
        self._start, self._held = 0, b""

    def at(self, place: int, length: int) -> bytes:
        """Bytes from `place`; fewer at the end of the file."""
        inside = place - self._start
        if inside < 0 or inside + length > len(self._held):
            self._file.seek(place)
            self._start, inside = place, 0
            self._held = self._file.read(max(length, WINDOW))
        return self._held[inside : inside + length]

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """Everything from start to end - 1, piece by piece."""
        while start < end and (chunk := self.at(start, min(CHUNK, end - start))):
            yield chunk
            start += len(chunk)

    def find(self, pattern: re.Pattern[bytes], start: int) -> int | None:
        """Where the pattern (at most 16 bytes) is found next."""
        while start < self.size:
            chunk = self.at(start, WINDOW)
            if match := pattern.search(chunk):
                return start + match.start()
            if len(chunk) <= 16:
                break
            start += len(chunk) - 15
        return None


@contextmanager
def content(source: Source | Held) -> Iterator[Bytes]:
    """The bytes of a source; a file object is left where it was.

    Raises what `Held` raises for a path.
    """
    if isinstance(source, bytes):
        yield Bytes(io.BytesIO(source))
    elif isinstance(source, Held):
        yield Bytes(_Place(source.number))
    elif isinstance(source, str | os.PathLike):
        with Held(source) as held:
            yield Bytes(_Place(held.number))
    else:
        place = source.tell()
        try:
            yield Bytes(source)
        finally:
            source.seek(place)  # FFmpeg goes on where it was


class _Place(io.RawIOBase):
    """An open descriptor, read from a place of its own: FFmpeg moves the one that both share."""

    def __init__(self, number: int) -> None:
        self._number, self._place = number, 0

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        end = os.fstat(self._number).st_size if whence == os.SEEK_END else 0
        self._place = place + end
        return self._place

    def read(self, count: int = -1) -> bytes:
        data = b""
        while len(data) < count and (
            part := os.pread(self._number, count - len(data), self._place)
        ):
            data += part
            self._place += len(part)
        return data
