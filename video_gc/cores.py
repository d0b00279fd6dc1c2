"""The CPU cores that this process may use, and whether it may use other processes."""

import os


def cores() -> int:
    """Their number; a cluster may give a part of the machine."""
    affinity = getattr(os, "sched_getaffinity", None)  # only on Linux
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def need_processes(way: str) -> None:
    """Raise OSError on Windows: its processes inherit no pipes by number, and get no signals.

    way: what to do, for the error.
    """
    if os.name == "nt":
        raise OSError(f"video_gc works in one process on Windows, and this needs several; {way}")
