"""What processes do in tests of crashes; light to import, as each process imports it."""

import os
import signal

from video_gc.atomic import atomic_path
from video_gc.data.prepare.jobs import CheckJob, ResizeJob, check_file, resize_file
from video_gc.decode.video_facts import VideoFacts


def dies_on_b(job: CheckJob) -> VideoFacts:
    if job.path.name == "b.mp4":
        os.kill(os.getpid(), signal.SIGSEGV)
    return check_file(job)


def has_no_memory_for_b(job: CheckJob) -> VideoFacts:
    if job.path.name == "b.mp4":
        raise MemoryError
    return check_file(job)


def dies_on_b_resizing(job: ResizeJob) -> str:
    if job.copy.source.name == "b.mp4":
        with atomic_path(job.copy.target) as part:
            part.write_bytes(b"half a file")
            os.kill(os.getpid(), signal.SIGKILL)
    return resize_file(job)


def plants_at_b(job: ResizeJob) -> str:
    if job.copy.source.name == "b.mp4":
        job.copy.target.parent.mkdir(parents=True, exist_ok=True)
        job.copy.target.write_text("mine")
    return resize_file(job)
