"""What processes do in tests of crashes; light to import, as each process imports it."""

import os
import signal
import time
from pathlib import Path

from video_gc.atomic import atomic_path
from video_gc.data.prepare.check import examine_job
from video_gc.data.prepare.resize import Job, resize_job
from video_gc.decode.probe import VideoFacts


def square(job: int, beat) -> int:  # type: ignore[no-untyped-def]
    beat()
    if job == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if job == 4:
        os._exit(7)
    if job == 5:
        raise ZeroDivisionError("five")
    return job * job


def never_ends(job: int, beat) -> int:  # type: ignore[no-untyped-def]
    if job == 1:
        time.sleep(60)
    return job


def gets_on(_job: int, beat) -> str:  # type: ignore[no-untyped-def]
    for _ in range(2):
        beat()
        time.sleep(1.1)
    return "done"


def dies_on_b(job: tuple[Path, float, None], beat) -> VideoFacts:  # type: ignore[no-untyped-def]
    if job[0].name == "b.mp4":
        os.kill(os.getpid(), signal.SIGSEGV)
    return examine_job(job, beat)


def has_no_memory_for_b(job: tuple[Path, float], beat) -> VideoFacts:  # type: ignore[no-untyped-def]
    if job[0].name == "b.mp4":
        raise MemoryError
    return examine_job(job, beat)


def dies_on_b_resizing(job: Job, beat) -> str:  # type: ignore[no-untyped-def]
    if job.copy.source.name == "b.mp4":
        with atomic_path(job.copy.target) as part:
            part.write_bytes(b"half a file")
            os.kill(os.getpid(), signal.SIGKILL)
    return resize_job(job, beat)


def plants_at_b(job: Job, beat) -> str:  # type: ignore[no-untyped-def]
    if job.copy.source.name == "b.mp4":
        job.copy.target.parent.mkdir(parents=True, exist_ok=True)
        job.copy.target.write_text("mine")
    return resize_job(job, beat)
