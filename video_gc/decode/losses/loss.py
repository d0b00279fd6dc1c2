"""What is lost of a file, and what that means for its packets."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from video_gc.decode.reader import Source

WINDOW = 64 << 10
"""bytes that are read at a time where single headers are looked at"""
CHUNK = 1 << 20
"""bytes that are read at a time where everything is"""


DISPLACED = "displaced (pictures before it may be lost)"
"""what is wrong with a frame that has another index than it had"""


@dataclass(frozen=True)
class Loss:
    """A place where the structure of a file is broken.

    Packets that begin at start … end - 1 in the file are hit. moves: pictures may be missing, so
    that all that begin later have moved up.
    """

    start: int
    end: int
    cause: str
    moves: bool = True


class Losses:
    """All losses of a file, asked packet by packet.

    counted: they were found by the counters of the packets; what FFmpeg makes of these counters
    says no more. depth: pictures that may be stored before one that is shown before them.
    """

    def __init__(
        self, found: Sequence[Loss] = (), *, counted: bool = False, depth: int = 0
    ) -> None:
        self.counted, self.depth = counted, depth
        self._found = sorted(found, key=lambda loss: loss.start)
        self.moving = next((loss for loss in self._found if loss.moves), None)
        """the first loss behind which pictures may have moved up"""

    def move(self, place: int) -> None:
        """Pictures from this byte on may have moved up; nothing else is known to be wrong there."""
        loss = Loss(place, place, "numbers of pictures are left out before it")
        if self.moving is None or place < self.moving.start:
            self.moving = loss

    def hit(self, place: int | None) -> str | None:
        """Why the data of a packet that begins at this byte cannot be trusted."""
        if place is None:
            return None
        return next((loss.cause for loss in self._found if loss.start <= place < loss.end), None)


class Bytes:
    """A file's content, wherever it is: slices by place."""

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
def content(source: Source) -> Iterator[Bytes]:
    """The bytes of a source; a file object is left where it was."""
    if isinstance(source, bytes):
        yield Bytes(io.BytesIO(source))
    elif isinstance(source, str | os.PathLike):
        with open(source, "rb", buffering=0) as file:
            yield Bytes(file)
    else:
        place = source.tell()
        try:
            yield Bytes(source)
        finally:
            source.seek(place)
