"""Worker processes for decoding: time limits, errors that say what to do, no processes left."""

import multiprocessing
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from video_gc.cores import need_processes
from video_gc.data.batches.batch import Batch

SILENT = 600.0
"""Seconds without a batch after which the workers count as stuck; a decoder's own limit is 60."""
LOOK = 5.0
"""Seconds between torch's checks that all workers live."""
TIMED_OUT = "DataLoader timed out"
"""How torch's error begins."""
SHARED_MEMORY = Path("/dev/shm")
KILLED = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.*)", re.DOTALL)
NO_ROOM = re.compile(
    r"out of shared memory|Bus error|unable to (?:mmap|write to file|open shared memory|allocate"
    r" shared memory|resize file)|No space left on device",
)


class WorkerLoader(DataLoader[Batch]):
    """Torch's loader that waits at most SILENT seconds for a batch.

    Persistent workers must answer within LOOK when the next iteration begins, so take all batches
    of an iteration.

    Raises TimeoutError then, and torch's error if a worker died; OSError for workers on Windows.
    """

    def __init__(self, dataset: Any, *, num_workers: int, **named: Any) -> None:
        if num_workers:
            need_processes("give data.workers=0 (video-gc test: --workers 0)")
        look = LOOK if num_workers else 0
        super().__init__(dataset, num_workers=num_workers, timeout=look, **named)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        try:
            batches = super().__iter__()
        except RuntimeError as error:
            if TIMED_OUT not in str(error):
                raise
            raise TimeoutError(self._stuck(f"no answer within {LOOK:g} s")) from error
        waited = 0.0
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:
                if TIMED_OUT not in str(error):
                    raise
                waited += LOOK
                if waited >= SILENT:
                    raise TimeoutError(self._stuck(f"no batch within {waited:g} s")) from error
                continue
            waited = 0.0
            yield batch

    def _stuck(self, what: str) -> str:
        return (
            f"{what} from {self.num_workers} decoding workers: they are "
            "stopped or stuck, or the disk is; rerun the command to resume, with data.workers=0 "
            "(--workers 0) if one batch really takes so long"
        )


@contextmanager
def guarded_workers(workers: int) -> Iterator[None]:
    """Wrap everything that takes batches from worker processes, `workers` of them per loader.

    Errors of a worker are raised with advice. If the block ends with an error or a signal, the
    workers started in it are killed at once.

    Raises OSError if shared memory is full, ChildProcessError if a worker died; other errors
    unchanged.
    """
    before = multiprocessing.active_children()
    try:
        yield
    except BaseException as error:
        end_workers(spared=before)
        explained = explain(error, workers) if isinstance(error, RuntimeError) else None
        if explained is None:
            raise
        raise explained from error


def end_workers(spared: list[multiprocessing.process.BaseProcess] | None = None) -> None:
    """Kill this process's workers; they hold nothing worth saving.

    SIGTERM would let each worker finish its batch, and torch waits for them one after another.
    """
    children = [child for child in multiprocessing.active_children() if child not in (spared or [])]
    # torch raises a worker's death in whatever line is running
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL) if main and children else None
    for child in children:
        child.kill()
    for child in children:
        child.join(1.0)
    if handler is not None:
        signal.signal(signal.SIGCHLD, handler)


def explain(error: RuntimeError, workers: int) -> OSError | None:
    """The cause of a loader's error and what to do; None for other errors."""
    text = str(error)
    killed = KILLED.search(text)
    if NO_ROOM.search(text) and (killed or "DataLoader worker" in text):
        room = (
            f", {shutil.disk_usage(SHARED_MEMORY).total / 2**20:.3g} MiB"
            if SHARED_MEMORY.is_dir()
            else ""
        )
        return OSError(
            f"no room for a batch in shared memory ({SHARED_MEMORY}{room}): make it larger (docker "
            "run --shm-size=8g, or mount -o remount,size=8g /dev/shm), or set data.workers=0 "
            "(video-gc test: --workers 0); rerun the command to resume"
        )
    if killed:
        how = killed[2].strip().splitlines()[0].rstrip(". ")
        if "by signal" in how and not how.endswith("Killed"):
            return ChildProcessError(f"decoding worker {killed[1]} {how}; rerun to resume")
        return ChildProcessError(
            f"decoding worker {killed[1]} {how}: most likely the memory ran out "
            f"and the kernel chose it; set fewer workers than data.workers={workers}, or a smaller "
            "batch_size; rerun the command to resume"
        )
    return None
