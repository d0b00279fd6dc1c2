"""Files that appear under their name when they are complete.

Until then a file has a hidden random name. So two programs never write to one file, and a link that
somebody placed there is not followed.
"""

import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout, lock_descriptor

LONGEST = 255
"""Largest length of a file name in bytes, on most file systems."""
PART = re.compile(r"\.video_gc-[0-9a-f]{16}\.part(\.[^.]+)?")
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""Flag of os.open that refuses a link; Windows has none."""


@contextmanager
def atomic_path(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield an empty file beside `path`, renamed to it when the block ends without an error.

    replace: replace an existing file; otherwise raise FileExistsError and keep it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_name(path)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o666)
    windows = os.name == "nt"  # where an open file cannot be renamed, nor a locked one written
    try:
        if windows:
            os.close(handle)
        else:
            with suppress(OSError):  # no locks here: a killed process leaves its file behind
                lock_descriptor(handle, blocking=False)
        yield part
        if replace:
            os.replace(part, path)
        else:
            _rename_new(part, path)
    finally:
        if not windows:
            os.close(handle)
        part.unlink(missing_ok=True)


@contextmanager
def durable_file(file: Path) -> Iterator[BinaryIO]:
    """A stream to a file that appears under its name once all of it is flushed to the disk.

    So it is there, whole, after a power cut.
    """
    with atomic_path(file) as part, part.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
    _sync_folder(file.parent)


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text to `path` atomically and return it; invalid bytes are escaped."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


@contextmanager
def journal(path: Path, *, what: str, way: str) -> Iterator[Callable[[object], None]]:
    """Yield a function that appends a line of JSON to `path` unbuffered; one process at a time.

    what, way: for the error, who writes there and how to avoid the conflict.
    Raises BlockingIOError if another process writes, FileExistsError for a link or a pipe.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    need_plain(path)
    lock = FileLock(path, timeout=0.5, fallback_to_soft=False)  # its last writer may be removing it
    try:
        if os.name != "nt":  # where a locked file cannot be read, and is removed with its lock
            lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"{path.parent}: another {what} is writing to it; wait for it, or give {way}"
        ) from None
    except OSError:
        pass  # a file system without locks; other errors appear when it is opened
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | NO_LINK, 0o666)

    def add(line: object) -> None:
        os.write(handle, f"{json.dumps(line)}\n".encode())

    try:
        if os.fstat(handle).st_size:  # its last line may be incomplete
            os.write(handle, b"\n")
        yield add
    finally:
        os.close(handle)
        lock.release()


def read_journal(path: Path) -> Iterator[Any]:
    """Yield each valid line that `journal` wrote; nothing without a file.

    Raises FileExistsError if `path` is not a file.
    """
    need_plain(path)
    try:
        lines = path.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    for line in lines:
        with suppress(ValueError):  # the line that a power cut interrupted
            yield json.loads(line)


def need_plain(path: Path) -> None:
    """Raise FileExistsError for a link, pipe or folder in place of our file.

    Opening a pipe would block, and a link leads to another file.
    """
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise FileExistsError(f"{path}: is a link, a pipe or a folder, not our file; move it away")


def part_name(path: Path) -> Path:
    """A new hidden name beside `path`, with its suffix, for an incomplete file."""
    suffix = path.suffix if len(path.suffix) <= 16 else ""  # no format has a longer one
    return path.with_name(f".video_gc-{secrets.token_hex(8)}.part{suffix}")


def remove_stale_parts(folder: Path) -> None:
    """Remove unfinished files of killed processes in `folder`; files being written stay."""
    for part in folder.glob(".video_gc-*.part*"):
        with suppress(OSError):  # it has vanished, or the file system has no locks
            if not PART.fullmatch(part.name):
                continue
            if not part.is_symlink():
                handle = os.open(part, os.O_RDWR | NO_LINK | getattr(os, "O_NONBLOCK", 0))
                try:
                    if not lock_descriptor(handle, blocking=False):
                        continue  # its writer is alive
                finally:
                    os.close(handle)
            part.unlink()


def fitting_name(stem: str, suffix: str = "") -> str:
    """`stem` + `suffix` as a file name; one that is too long ends in a hash of the whole.

    The hash distinguishes names that start alike.
    """
    whole = os.fsencode(stem + suffix)
    if len(whole) <= LONGEST:
        return stem + suffix
    end = f"~{hashlib.blake2b(whole, digest_size=6).hexdigest()}{suffix}"
    room = LONGEST - len(os.fsencode(end))
    return os.fsencode(stem)[:room].decode("utf-8", "ignore") + end


def _rename_new(part: Path, path: Path) -> None:
    """Rename without replacing anything, atomically if the file system has hard links."""
    try:
        os.link(part, path)
    except OSError as error:
        if isinstance(error, FileExistsError) or os.path.lexists(path):
            raise FileExistsError(f"{path}: already exists, and is kept") from error
        os.rename(part, path)


def _sync_folder(folder: Path) -> None:
    """Flush the new name to the disk, to survive a power cut."""
    with suppress(OSError):  # some network file systems cannot, and Windows opens no folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
