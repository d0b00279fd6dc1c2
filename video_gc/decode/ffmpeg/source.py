"""What may be opened as a video: a regular file, its bytes, or an open file."""

import errno
import io
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, Self

from video_gc.decode.reader import OpenError, Source, StuckError, source_name

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
OPENING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def resolved(source: Source) -> Source:
    """The source, with ~ in a path expanded where no file has that very name.

    Raises FileNotFoundError where there is nothing, OpenError for what is neither a regular file
    nor a folder, or cannot be sought in; TypeError for what is no source. Nothing is opened.
    """
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if path.startswith("~") and not os.path.lexists(path):
            path = os.path.expanduser(path)
        _check_mode(path, file_status(path).st_mode, folder=True)
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
        _check_mode(source_name(source), os.fstat(number).st_mode)
    if hasattr(source, "seekable") and not source.seekable():
        raise OpenError(source_name(source), "cannot be sought in; give its bytes, source.read()")
    return source


def hold(source: Source) -> "Source | Held":
    """The source as it stays the same: a path's file, to be closed. Raises what `Held` raises."""
    return Held(source) if isinstance(source, str | os.PathLike) else source


class Held:
    """A regular file that stays open: whoever reads it reads the same one, whatever becomes of its
    name. Links are followed; to be used in a `with` block, or closed.

    Raises FileNotFoundError and the like, OpenError for a pipe, a device, a socket or a folder,
    which is not opened, and for an empty file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        _check_mode(self.name, file_status(self.name).st_mode)
        self.number = os.open(self.name, OPENING)  # without waiting, were it a pipe by now
        try:
            status = os.fstat(self.number)
            _check_mode(self.name, status.st_mode)
            if not status.st_size:
                raise OpenError(self.name, "the file is empty (0 bytes)")
        except BaseException:
            self.close()
            raise

    @contextmanager
    def again(self) -> Iterator[int]:
        """Another descriptor of the file, at its start; on Linux nobody else moves its place."""
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
        """Let go of it."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def limited_file(source: bytes | BinaryIO, time_limit: float) -> BinaryIO:
    """A file at its start; of a file object, a read that takes longer raises StuckError."""
    if isinstance(source, bytes):
        return _Content(source)
    resolved(source)
    source.seek(0)
    return _LimitedFile(source, time_limit)  # type: ignore[return-value]


def _seek(seek: Callable[[int, int], int], offset: int, whence: int) -> int:
    """Where that leads; an error as a number, so that it becomes one of FFmpeg's: a damaged index
    may send it before the start."""
    try:
        return seek(offset, whence)
    except (OSError, ValueError) as error:
        return -(getattr(error, "errno", None) or errno.EINVAL)


class _Content(io.BytesIO):
    def seek(self, offset: int, whence: int = 0) -> int:
        return _seek(super().seek, offset, whence)


class _LimitedFile:
    """What PyAV needs of a file. Somebody else's `read` may wait for a network.

    It has no `name`: from its end FFmpeg would guess a format, as it does not for a path.
    """

    def __init__(self, file: BinaryIO, time_limit: float) -> None:
        self._name, self.tell = source_name(file), file.tell
        self._file, self._limit, self._lost = file, time_limit, False

    def seek(self, offset: int, whence: int = 0) -> int:
        return _seek(self._file.seek, offset, whence)

    def read(self, count: int) -> bytes:
        answers: SimpleQueue[Any] = SimpleQueue()

        def run() -> None:
            try:
                answers.put(self._file.read(count))
            except BaseException as error:  # goes to the thread that waits
                answers.put(error)

        if self._lost:
            raise StuckError(self._name, "an earlier read is still stuck")
        threading.Thread(target=run, daemon=True).start()
        try:
            answer = answers.get(timeout=self._limit)
        except Empty:
            self._lost = True
            reason = f"reading the file took more than {self._limit:g} s (time_limit)"
            raise StuckError(self._name, reason) from None
        if isinstance(answer, BaseException):
            raise answer
        return bytes(answer[:count])  # more would be written beyond FFmpeg's buffer


def file_status(path: str) -> os.stat_result:
    """os.stat. Raises FileNotFoundError with what to do where an address or a camera is named."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        pass
    except ValueError:  # a zero byte in it
        pass
    hint = ""
    if ADDRESS.match(path):
        hint = "; it is an address; give the path of a file on this machine"
    elif path.isdecimal() or path == "-":
        hint = "; cameras and standard input are not read; record a file first"
    raise FileNotFoundError(f"{path}: no such file or folder{hint}")


def _check_mode(name: str, mode: int, *, folder: bool = False) -> None:
    kind = stat.S_IFMT(mode)
    if kind != stat.S_IFREG and not (folder and kind == stat.S_IFDIR):
        what = KINDS.get(kind, "no regular file")
        raise OpenError(name, f"is {what}, not a file with a video in it")
