"""One training at a time in a run directory, one test among its results."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"


@contextmanager
def locked(directory: Path, *, what: str = "training", way: str = "name=OTHER") -> Iterator[None]:
    """Hold the directory while the block runs. what, way: who holds it, the way out, for the error.

    A POSIX lock, which ends with its process however that dies and, unlike filelock's flock, is
    not inherited by decoding workers that outlive it for seconds.

    Raises BlockingIOError where another process holds it.
    """
    new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / LOCK
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 200).decode(errors="replace").strip()
            raise BlockingIOError(
                f"{directory}: another {what} is writing to it ({holder or 'unknown process'}); "
                f"wait for it, or give {way}"
            ) from error
        os.truncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        try:
            yield
        finally:
            if new and [path.name for path in directory.iterdir()] == [LOCK]:  # nothing was begun
                file.unlink()
                directory.rmdir()
    finally:
        os.close(handle)
