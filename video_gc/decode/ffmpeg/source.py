"""Sources of a video (a file, its bytes, an open file), and access to their bytes."""

import errno
import io
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, Self

from video_gc.decode.ffmpeg.paths import check_mode, file_status
from video_gc.decode.reader import OpenError, Source, StuckError, source_name

WINDOW = 64 << 10
"""bytes per read when looking at single headers"""
CHUNK = 1 << 20
"""bytes per read when reading everything"""
OPENING = os.O_RDONLY | sum(getattr(os, n, 0) for n in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


def resolved(source: Source) -> Source:
    """The source, with ~ in a path expanded unless a file has exactly that name.

    Raises FileNotFoundError for a missing path, OpenError for anything but a regular file or a
    folder, or without seeking; TypeError for other types. Nothing is opened.
    """
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if path.startswith("~") and not os.path.lexists(path):
            path = os.path.expanduser(path)
        check_mode(path, file_status(path).st_mode, folder=True)
        return path
    binary = hasattr(source, "read") and hasattr(source, "seek")
    if not binary or isinstance(source, io.TextIOBase):
        raise TypeError(
            f"a video must be a path, bytes or a file opened as binary, not {type(source).__name__}"
        )
    try:
        number = source.fileno()
    except (AttributeError, OSError):  # not every file object is a file
        number = None
    if number is not None:
        check_mode(source_name(source), os.fstat(number).st_mode)
    if hasattr(source, "seekable") and not source.seekable():
        raise OpenError(source_name(source), "cannot be sought in; give its bytes, source.read()")
    return source


def hold(source: Source) -> "bytes | BinaryIO | Held":
    """The source; for a path its open file, to be closed. Raises what `Held` raises."""
    return Held(source) if isinstance(source, str | os.PathLike) else source


class Held:
    """A regular file that stays open, so every read is of the same file even if it is renamed.

    Links are followed. Use it in a `with` block, or close it.

    Raises FileNotFoundError and the like, OpenError for a pipe, a device, a socket or a folder,
    none of which is opened, and for an empty file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        check_mode(self.name, file_status(self.name).st_mode)
        self.number = os.open(self.name, OPENING)  # non-blocking, in case it is a pipe by now
        try:
            status = os.fstat(self.number)
            check_mode(self.name, status.st_mode)
            if not status.st_size:
                raise OpenError(self.name, "the file is empty (0 bytes)")
        except BaseException:
            self.close()
            raise

    @contextmanager
    def again(self) -> Iterator[int]:
        """Another descriptor of the file, at its start; on Linux with its own position."""
        try:
            number = os.open(f"/proc/self/fd/{self.number}", OPENING)
        except OSError:
            number = os.dup(self.number)
            os.lseek(number, 0, os.SEEK_SET)
        try:
            yield number
        finally:
            os.close(number)

    def close(self) -> None:
        """Close it."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def limited_file(source: bytes | BinaryIO | Held, time_limit: float) -> Any:
    """A file at its start; a read of a file object beyond the time limit raises StuckError.

    A file in memory cannot be late, and a thread for each read is expensive.
    """
    if isinstance(source, Held):
        return _Place(source.number)
    if isinstance(source, bytes):
        return _Content(source)
    resolved(source)
    if isinstance(source, io.BytesIO) and type(source).read is io.BytesIO.read:
        return _Content(source.getvalue())
    source.seek(0)
    return _LimitedFile(source, time_limit)


def _seek(seek: Callable[[int, int], int], offset: int, whence: int) -> int:
    """The new position; negative for FFmpeg if a damaged index seeks before the start."""
    try:
        return seek(offset, whence)
    except (OSError, ValueError) as error:
        return -(getattr(error, "errno", None) or errno.EINVAL)


class _Content(io.BytesIO):
    def seek(self, offset: int, whence: int = 0) -> int:
        return _seek(super().seek, offset, whence)


class TimeLimit:
    """Runs calls that may block in threads. A call beyond the time limit is abandoned, and no other
    call is made after it.

    name: of the file. what: message, with the limit in seconds as {}.
    """

    def __init__(self, seconds: float, name: str, what: str, decoder: str | None = None) -> None:
        self._seconds, self._name, self._what, self._decoder = seconds, name, what, decoder
        self._lost = False

    def run(self, call: Callable[[], Any]) -> Any:
        """The call's result. Raises its error, or StuckError after the time limit."""
        answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        def answer() -> None:
            try:
                answers.put((call(), None))
            except BaseException as error:  # passed to the waiting thread
                answers.put((None, error))

        if self._lost:
            raise StuckError(self._name, "an earlier read is still stuck", decoder=self._decoder)
        threading.Thread(target=answer, daemon=True).start()
        try:
            result, error = answers.get(timeout=self._seconds)
        except Empty:
            self._lost = True  # its thread still uses the file
            reason = self._what.format(f"{self._seconds:g} s")
            raise StuckError(self._name, reason, decoder=self._decoder) from None
        if error is not None:
            raise error
        return result


class _LimitedFile:
    """The parts of a file that PyAV needs, with a time limit: `read` may wait for a network.

    It has no `name`, from whose suffix FFmpeg would guess a format; nor does it for a path.
    """

    def __init__(self, file: BinaryIO, time_limit: float) -> None:
        what = "reading the file took more than {} (time_limit)"
        self._file, self._limit = file, TimeLimit(time_limit, source_name(file), what)
        self.tell = file.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        return _seek(self._file.seek, offset, whence)

    def read(self, count: int) -> bytes:
        answer = self._limit.run(lambda: self._file.read(count))
        return bytes(answer[:count])  # more would be written beyond FFmpeg's buffer


class Bytes:
    """A file's content by byte ranges. file: readable and seekable."""

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

    def are_zero(self, start: int, end: int) -> bool:
        """Whether the rest is zeros only: a padded file contains no more."""
        return not any(any(chunk) for chunk in self.chunks(start, end))

    def find(self, pattern: re.Pattern[bytes], start: int) -> int | None:
        """The next position of the pattern (at most 16 bytes)."""
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
    """The bytes of a source; a file object keeps its position.

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
            source.seek(place)  # FFmpeg continues there


class _Place:
    """A held file with a position of its own: FFmpeg moves that of the descriptor."""

    def __init__(self, number: int) -> None:
        self._number, self._place = number, 0

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        place += (0, self._place, os.fstat(self._number).st_size)[whence]
        self._place = max(place, 0)
        return place if place >= 0 else -errno.EINVAL  # see _seek

    def tell(self) -> int:
        return self._place

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (part := self._part(count - len(data))):
            data += part
            self._place += len(part)
        return data

    def _part(self, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._number, count, self._place)
        os.lseek(self._number, self._place, os.SEEK_SET)  # Windows; nothing else moves it there
        return os.read(self._number, count)
