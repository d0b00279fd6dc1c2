"""One process at a time in a directory; the lock ends with its process.

filelock keeps forked workers from inheriting it: they may outlive their parent by seconds.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


@contextmanager
def locked(directory: Path, *, what: str = "training", way: str = "name=OTHER") -> Iterator[None]:
    """Hold the directory while the block runs.

    what, way: for the error, who holds it and how to avoid the conflict.
    Raises BlockingIOError if another process holds it.
    """
    new = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / LOCK
    lock = FileLock(file, timeout=0, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        with file.open("rb", buffering=0) as stream:
            stream.seek(1)  # on Windows the lock is the first byte
            holder = stream.read(200).decode(errors="replace").strip()
        raise BlockingIOError(
            f"{directory}: another {what} is writing to it ({holder or 'unknown process'}); "
            f"wait for it, or give {way}"
        ) from None
    try:
        with file.open("r+b") as stream:
            stream.seek(1)  # see above
            stream.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
            stream.truncate()
        yield
    finally:
        if new and [path.name for path in directory.iterdir()] == [LOCK]:  # nothing was written
            with suppress(OSError):  # Windows removes no locked file, or another training has begun
                file.unlink()
                for folder in new:
                    folder.rmdir()
        lock.release()
