"""Files that get their name when they are complete.

Until then a file has a hidden name that nobody can guess. So two programs never write to one file,
and a link that somebody placed there is not followed.
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
from typing import Any

from filelock import FileLock, Timeout, lock_descriptor

LONGEST = 255
"""Bytes of a file's name, on most file systems."""
PART = re.compile(r"\.video_gc-[0-9a-f]{16}\.part(\.[^.]+)?")


@contextmanager
def atomic_path(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield an empty file beside `path`; it gets that name when the block ends without an error.

    replace: a file of that name is replaced; else FileExistsError is raised, and it stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_name(path)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        with suppress(OSError):  # a file system without locks: what a kill leaves there stays
            lock_descriptor(handle, blocking=False)
        yield part
        if replace:
            os.replace(part, path)
        else:
            _rename_new(part, path)
    finally:
        os.close(handle)
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text to `path` at once and return it; bytes that are none are escaped."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


@contextmanager
def journal(path: Path, *, what: str, way: str) -> Iterator[Callable[[object], None]]:
    """Yield what appends a line of JSON to `path`, to the system at once; one process at a time.

    what, way: who writes there, and the way out, for the error.
    Raises BlockingIOError where another process does, FileExistsError for a link or a pipe.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    need_plain(path)
    lock = FileLock(path, timeout=0.5, fallback_to_soft=False)  # its last writer may remove it now
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"{path.parent}: another {what} is writing to it; wait for it, or give {way}"
        ) from None
    except OSError:
        pass  # a file system without locks; what else is wrong is said when it is opened
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)

    def add(line: object) -> None:
        os.write(handle, f"{json.dumps(line)}\n".encode())

    try:
        if os.fstat(handle).st_size:  # its last line may be torn
            os.write(handle, b"\n")
        yield add
    finally:
        os.close(handle)
        lock.release()


def read_journal(path: Path) -> Iterator[Any]:
    """Each sound line of what `journal` wrote; nothing where there is none.

    Raises FileExistsError where something else than a file has its name.
    """
    need_plain(path)
    try:
        lines = path.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    for line in lines:
        with suppress(ValueError):  # the line that was being written when the power went
            yield json.loads(line)


def need_plain(path: Path) -> None:
    """Raise FileExistsError for a link, pipe or folder where a file of ours would be.

    A pipe would be waited for, and a link followed to somebody else's file.
    """
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise FileExistsError(f"{path}: is a link, a pipe or a folder, not our file; move it away")


def part_name(path: Path) -> Path:
    """A new hidden name beside `path`, with its suffix, for a file that is not complete yet."""
    suffix = path.suffix if len(path.suffix) <= 16 else ""  # no format has a longer one
    return path.with_name(f".video_gc-{secrets.token_hex(8)}.part{suffix}")


def remove_stale_parts(folder: Path) -> None:
    """Remove what killed processes left unfinished in `folder`; what is being written now stays."""
    for part in folder.glob(".video_gc-*.part*"):
        with suppress(OSError):  # it is gone, or the file system has no locks
            if not PART.fullmatch(part.name):
                continue
            if not part.is_symlink():
                handle = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if not lock_descriptor(handle, blocking=False):
                        continue  # its writer lives
                finally:
                    os.close(handle)
            part.unlink()


def fitting_name(stem: str, suffix: str = "") -> str:
    """`stem` + `suffix` as the name of a file; one that is too long ends in a hash of the whole.

    The hash tells names apart that begin alike.
    """
    whole = os.fsencode(stem + suffix)
    if len(whole) <= LONGEST:
        return stem + suffix
    end = f"~{hashlib.blake2b(whole, digest_size=6).hexdigest()}{suffix}"
    room = LONGEST - len(os.fsencode(end))
    return os.fsencode(stem)[:room].decode("utf-8", "ignore") + end


def _rename_new(part: Path, path: Path) -> None:
    """Rename without replacing anything, in one step where the file system has hard links."""
    try:
        os.link(part, path)
    except OSError as error:
        if isinstance(error, FileExistsError) or os.path.lexists(path):
            raise FileExistsError(f"{path}: exists already, and is kept") from error
        os.rename(part, path)
